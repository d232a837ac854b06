"""Who Postgres runs as when `celeriac up` is run by root, which Postgres refuses. Linux only.

Two ways, tried in this order, each proved by running the server's own binary in sight of the real directories:

1. A user namespace in which our uid has another number. No user is made, no file changes its owner, a home below a 0700
   directory is no obstacle (to the rest of the system it is still us), and the process holds no capability.
   Not possible where the kernel or the container's seccomp profile forbids namespaces.
2. A system user (`celeriac`, else `postgres`, else `celeriac` is made, and said) who may look into directories that
   are closed to it: one ambient capability, CAP_DAC_READ_SEARCH, or CAP_DAC_OVERRIDE where a container grants only
   that. The data directory is handed over to that user. `nobody` is never used: whatever else runs as nobody could
   touch the data.

The same first way serves a container's numeric uid that has no entry in the user database (initdb insists on one).
"""

import ctypes
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from celeriac.domain.errors import StackError

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

_USER = "celeriac"
_CLONE_NEWUSER = 0x10000000
_PR_SET_KEEPCAPS = 8
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 47, 2
_CAPABILITY_VERSION_3 = 0x20080522
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Namespaced:
    """We ourselves, under the uid and gid of `account` inside a user namespace of the process's own."""

    account: pwd.struct_passwd

    @property
    def owner(self) -> tuple[int, int]:
        """The uid and gid that its files have outside."""
        return os.geteuid(), os.getegid()

    def assume(self) -> None:
        """Change this process (between fork and exec; it must have one thread). Raises OSError."""
        outside_uid, outside_gid = self.owner
        _checked("unshare", _libc.unshare(_CLONE_NEWUSER))
        # The kernel lets a process map its own ids without privilege, once it has given up setgroups.
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{self.account.pw_uid} {outside_uid} 1")
        Path("/proc/self/gid_map").write_text(f"{self.account.pw_gid} {outside_gid} 1")

    def __str__(self) -> str:
        return f"uid {self.owner[0]}, as {self.account.pw_name} in a user namespace"


@dataclass(frozen=True, slots=True)
class SystemUser:
    """Another user of the system, with one capability to see into directories that are closed to it."""

    account: pwd.struct_passwd
    capability: int

    @property
    def owner(self) -> tuple[int, int]:
        """The uid and gid that its files have."""
        return self.account.pw_uid, self.account.pw_gid

    def assume(self) -> None:
        """Change this process (between fork and exec). Raises OSError."""
        _checked("PR_SET_KEEPCAPS", _libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
        os.setgroups([])
        os.setgid(self.account.pw_gid)
        os.setuid(self.account.pw_uid)
        _keep_only(self.capability)

    def __str__(self) -> str:
        return f"system user {self.account.pw_name}"


Identity = Namespaced | SystemUser


def identity_for(
    binary: Path, directories: Sequence[Path], *, say: Callable[[str], None] = lambda line: None
) -> Identity | None:
    """The identity under which `binary` can run here and enter `directories`; None: as we are.

    `say` is told when a system user has to be made. Raises StackError with what was tried and why it failed.
    """
    account = _account_of(os.geteuid())
    if os.geteuid() != 0 and account is not None:
        return None
    refusals: list[str] = []
    candidates: list[Identity] = [*_namespaces(), *_system_users()]
    for candidate in candidates:
        refusal = why_not(candidate, binary, directories)
        if refusal is None:
            return candidate
        refusals.append(f"as {candidate}: {refusal}")
    if os.geteuid() == 0 and _named(_USER) is None:
        _make_user(say)
        return identity_for(binary, directories, say=say)
    raise StackError(
        f"Postgres refuses to run as {'root' if os.geteuid() == 0 else 'a uid without a user entry'}, and no other"
        f" identity works here ({'; '.join(refusals)}): run celeriac as an ordinary user, choose a --home that other"
        " users may enter, or name a Postgres of your own in CELERIAC_DATABASE_URL"
    )


def why_not(identity: Identity, binary: Path, directories: Sequence[Path]) -> str | None:
    """Why `binary` cannot run as `identity` in these directories; None when it can. Runs `binary --version`."""

    def enter() -> None:
        assume_or_exit(identity)
        for directory in directories:
            try:
                os.stat(directory / ".")
            except OSError as error:
                os.write(2, f"{directory}: {error.strerror}".encode())
                os._exit(126)

    try:
        done = subprocess.run([binary, "--version"], preexec_fn=enter, capture_output=True, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    return None if done.returncode == 0 else done.stderr.decode(errors="replace").strip() or "it fails"


def assume_or_exit(identity: Identity) -> None:
    """`identity.assume()`; a failure goes to standard error, hence to the program's log, and ends the process.

    An exception between fork and exec would reach the starter without its text.
    """
    try:
        identity.assume()
    except OSError as error:
        os.write(2, f"cannot become {identity}: {error}\n".encode())
        os._exit(126)


def hand_over(path: Path, owner: tuple[int, int]) -> None:
    """Make `owner` (uid, gid) the owner of `path` and all below it, if it is not already; no link is followed."""
    if path.lstat().st_uid == owner[0]:
        return
    for directory, _, files in os.walk(path, topdown=False):  # `path` itself last: its owner says that all is done
        for name in files:
            os.chown(os.path.join(directory, name), *owner, follow_symlinks=False)
        os.chown(directory, *owner, follow_symlinks=False)


def _namespaces() -> list[Namespaced]:
    """One, under the first of these names that exists: inside the namespace it is only a number that is not 0."""
    accounts = (_named(name) for name in ("postgres", "daemon", "nobody"))
    return [Namespaced(account) for account in accounts if account is not None][:1]


def _system_users() -> list[SystemUser]:
    if os.geteuid() != 0:
        return []
    accounts = (_named(name) for name in (_USER, "postgres"))
    return [
        SystemUser(account, capability)
        for account in accounts
        if account is not None
        for capability in (CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE)
    ]


def _make_user(say: Callable[[str], None]) -> None:
    """Make the system user `celeriac`. Raises StackError."""
    command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _USER]
    if shutil.which(command[0]) is None:
        raise StackError(
            "Postgres refuses to run as root, user namespaces are forbidden here, and there is no useradd to make the "
            f"system user {_USER!r}: make it, or run celeriac as an ordinary user"
        )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise StackError(f"the system user {_USER!r} for Postgres cannot be made: {done.stderr.strip()}")
    say(f"made the system user {_USER!r}: Postgres refuses to run as root, and user namespaces are forbidden here")


def _named(name: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return None


def _account_of(uid: int) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwuid(uid)
    except KeyError:
        return None


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def _keep_only(capability: int) -> None:
    """Drop every capability but one, and let that one survive exec (capabilities(7), "Ambient")."""
    bit = 1 << capability
    sets = (_Sets * 2)(_Sets(bit, bit, bit), _Sets(0, 0, 0))
    header = _Header(_CAPABILITY_VERSION_3, 0)
    _checked("capset", _libc.capset(ctypes.byref(header), sets))
    _checked("PR_CAP_AMBIENT", _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability, 0, 0))


def _checked(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
