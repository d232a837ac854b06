"""Every setting of every program, read once. Rule: nobody else reads `os.environ`.

Each field's environment variable is its name in capitals behind `CELERIAC_`: `lease_s` is `CELERIAC_LEASE_S`. Addresses
may also come through an inherited file descriptor (`CELERIAC_SECRETS_FD`, JSON), so that passwords stay out of
environments that other processes of the same user can read, or, when neither is given, from the embedded stack that
runs under `home` (its `run/stack.json`).
"""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from datetime import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

from celeriac.domain.errors import SettingInvalid, StackError

PREFIX = "CELERIAC_"

#: Seconds that would make a program spin, or give up at once, if they were 0; other numbers may be 0, and only a
#: descriptor less.
_ABOVE_0 = frozenset(
    {"slots_per_gpu", "lease_s", "heartbeat_s", "reap_s", "import_s", "idle_watch_s"}
    | {"suggest_timeout_s", "suggest_memory_bytes", "model_bytes", "model_s"}
)
_MOST = {"flower_port": 65_535, "metrics_port": 65_530, "web_port": 65_535}
#: What retention may throw away.
RETAINED = ("reports", "logs", "checkpoints", "models")
_AGE = re.compile(r"[0-9]+[smhd]")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_S3 = ("s3://", "s3a://")
_BROKERS = ("redis://", "rediss://", "redis+socket://")


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, with the defaults of one machine.

    home: where the embedded stack keeps its state. database_url: SQLAlchemy URL of Postgres (psycopg). broker_url:
    Redis.
    code_root: objectives load only from below it. checkpoint_root: where trials write checkpoints, a directory that all
    hosts see; where `checkpoints` is an address of S3, this host's own directory, from which they are copied there.
    artefact_root: where models are kept and champions published, a directory that all hosts see or an address of S3;
    model_bytes, model_s: a model that is larger, or takes longer to write, is not kept.
    address: where other hosts reach trials of this one that run on several slots ("": the address from which it reaches
    Postgres).
    lease_s, heartbeat_s, reap_s: the lease, how often it is renewed, how often the reaper looks.
    checkpoint_grace_s: how long a pre-empted trial may take to write its checkpoint. kill_grace_s: from TERM to KILL.
    import_s: how long an objective's module may take to be imported. log_tail_bytes: what of an attempt's output is
    kept in Postgres; log_file_bytes: in its file on the host.
    idle_server_s: how long a fork server without trials stays. pool_size: database connections of one process.
    slots_per_gpu: how many trials may share one GPU at once (1: none); simulated_gpus: a file that stands for the
    host's GPUs ("": its driver tells them); labels: what this host is, such as
    `region=eu,gpu=h100`, for studies that ask for it.
    trial_tasks: processes and threads that a trial may have at once; trial_memory_bytes: memory of all its processes
    (0: no limit).
    suggest_processes: how many processes make suggestions, at most; suggest_timeout_s: seconds for one question to
    them;
    suggest_memory_bytes: resident memory of one, above which it is replaced; suggest_idle_s: how long one without a
    question stays.
    preempt_after_s: for so long a study has less than its share before trials of studies with clearly smaller weights
    are asked back (0: never).
    flower_address: where Flower listens; beyond loopback it wants a login. flower_url: where the board finds it, to
    hand it on behind its own login ("": nowhere).
    web_port, web_address: where the board and the API listen (0: nowhere). web_body_bytes: the longest request.
    web_cert, web_key: PEM files with which they speak TLS ("": none; a key in the certificate's own file needs no
    second). web_public_url: by which address browsers reach them ("": the one where they listen); web_proxies: from
    which addresses, with commas, a proxy's word is taken for who asks and whether by TLS.
    mlflow_uri: the MLflow that trials are written to as they end ("": none).
    web_code_roots: below which directories (with colons) an API token without the scope `code` may name code.
    url, token: the service's API, for a client that has no database (`CELERIAC_URL`), and its token ("": what
    `celeriac login` kept).
    ready_fd: a descriptor on which the program tells its starter that it is ready (-1: nobody waits); stack: the tag
    of the embedded stack that started it.
    alive_file: its time is renewed while the program does its work; a container's health check looks at it ("": none).
    database_password, broker_password: put, quoted, into the addresses, which then hold none.
    coordinator_password, worker_password: what `celeriac migrate` gives the two database roles ("": it makes no roles).
    node_key: what marks the leases of one host, so that its node, and nobody else, gives back what its workers left
    ("": one that the node keeps in its log directory).
    hook_commands: whether a schedule's hook may be a command on the coordinator's host. call_local: whether a morning's
    `url` may be this host's own, or of its link.
    metrics_port, metrics_address: where the drive program serves metrics, the clock one port further, a node two (0:
    nowhere). log_format: `text`, or `json` with the ids that a line is about. otlp_endpoint: where traces of trials go.
    retention, retention_at: what is thrown away how long after a study's end, such as `reports=30d,checkpoints=7d`
    (`reports`, `logs`, `checkpoints`, `models`; "": nothing), and at which time of the day, UTC.
    smtp_url: the server that takes the mails of mornings (smtp:// or smtps://); mail_from: their sender.
    """

    home: Path = Path("~/.celeriac")
    database_url: str = ""
    broker_url: str = ""
    code_root: Path = Path("/")
    checkpoint_root: Path = Path("~/.celeriac/checkpoints")
    checkpoints: str = ""
    log_root: Path = Path("~/.celeriac/logs")
    artefact_root: str = "~/.celeriac/artefacts"
    model_bytes: int = 10_737_418_240
    model_s: float = 600.0
    host: str = ""
    address: str = ""
    lease_s: float = 30.0
    heartbeat_s: float = 5.0
    reap_s: float = 5.0
    checkpoint_grace_s: float = 30.0
    kill_grace_s: float = 2.0
    import_s: float = 300.0
    log_tail_bytes: int = 65_536
    log_file_bytes: int = 16_777_216
    idle_server_s: float = 60.0
    idle_watch_s: float = 60.0
    pool_size: int = 2
    suggest_processes: int = 2
    suggest_timeout_s: float = 300.0
    suggest_memory_bytes: int = 536_870_912
    suggest_idle_s: float = 600.0
    preempt_after_s: float = 120.0
    slots: int = 0
    slots_per_gpu: int = 1
    simulated_gpus: str = ""
    labels: str = ""
    trial_tasks: int = 4096
    trial_memory_bytes: int = 0
    flower_port: int = 5555
    flower_address: str = "127.0.0.1"
    flower_user: str = ""
    flower_password: str = ""
    flower_writable: bool = False
    flower_url: str = ""
    web_port: int = 8420
    web_address: str = "127.0.0.1"
    web_body_bytes: int = 1_048_576
    web_cert: str = ""
    web_key: str = ""
    web_public_url: str = ""
    web_proxies: str = "127.0.0.1"
    mlflow_uri: str = ""
    web_code_roots: str = ""
    url: str = ""
    token: str = ""
    ready_fd: int = -1
    stack: str = ""
    alive_file: str = ""
    database_password: str = ""
    broker_password: str = ""
    coordinator_password: str = ""
    worker_password: str = ""
    node_key: str = ""
    hook_commands: bool = True
    call_local: bool = False
    smtp_url: str = ""
    mail_from: str = ""
    metrics_port: int = 0
    metrics_address: str = "127.0.0.1"
    log_format: str = "text"
    otlp_endpoint: str = ""
    retention: str = ""
    retention_at: str = "03:30"

    @classmethod
    def from_env(
        cls, environ: Mapping[str, str] | None = None, *, home: Path | None = None, running_stack: bool = True
    ) -> "Settings":
        """Settings from the environment; `home` given on a command line wins, also over `CELERIAC_URL`: it is this
        machine's.

        `running_stack` False: for who starts or stops the stack, and does not ask it where it is.
        Raises SettingInvalid naming the variable, its value and what it must be.
        """
        env = dict(os.environ if environ is None else environ)
        values = {**_from_descriptor(env), **_from_environment(env)}
        if home is not None:
            values |= {"home": home, "url": ""}
        settings = _expanded(cls(**values), given=set(values))
        if settings.lease_s < 2 * settings.heartbeat_s:
            raise SettingInvalid(
                f"CELERIAC_LEASE_S={settings.lease_s:g}: must be at least twice CELERIAC_HEARTBEAT_S "
                f"({settings.heartbeat_s:g}), which renews it: else trials that run well are given to others"
            )
        settings = replace(
            settings,
            database_url=_with_password("database", settings.database_url, settings.database_password),
            broker_url=_with_password("broker", settings.broker_url, settings.broker_password),
        )
        if not running_stack or (settings.database_url and settings.broker_url):
            return settings
        return settings._of_running_stack()

    @property
    def has_service(self) -> bool:
        """Whether addresses of a service are known (not whether it answers)."""
        return bool(self.database_url and self.broker_url)

    @property
    def stack_file(self) -> Path:
        """Where a running embedded stack says how to reach it."""
        return self.home / "run" / "stack.json"

    @property
    def has_store(self) -> bool:
        """Whether an embedded stack has kept studies under `home`."""
        return (self.home / "postgres" / "PG_VERSION").exists()

    @property
    def store_file(self) -> Path:
        """Where a store that runs alone, for readers, says how to reach it."""
        return self.home / "run" / "store.json"

    def _of_running_stack(self) -> "Settings":
        try:
            found = json.loads(self.stack_file.read_text())
            addressed = replace(self, database_url=str(found["database_url"]), broker_url=str(found["broker_url"]))
        except (FileNotFoundError, NotADirectoryError):
            return self
        except (ValueError, KeyError, OSError) as error:
            raise StackError(
                f"{self.stack_file} is unreadable ({error}): `celeriac down` stops its stack, and `celeriac up` writes"
                " it anew"
            ) from error
        if self.database_url or self.broker_url:
            given, absent = ("DATABASE", "BROKER") if self.database_url else ("BROKER", "DATABASE")
            raise SettingInvalid(
                f"{PREFIX}{given}_URL is set and {PREFIX}{absent}_URL is not, while a stack runs on {self.home}: rows"
                " would go to one service and tickets to the other; set both, or neither"
            )
        return addressed


def secret_named(name: str) -> str:
    """The secret in the environment variable that a schedule's hook names; "" when there is none."""
    return os.environ.get(name, "")


def home_path(text: str) -> Path:
    """A home from a command line. Raises ValueError for an empty one, which would be the current directory."""
    if not text.strip():
        raise ValueError("an empty --home")
    return Path(text)


def inherited(changes: Mapping[str, str]) -> dict[str, str]:
    """The environment of this process for a program that it starts, with these settings changed."""
    return {**os.environ, **{PREFIX + name: value for name, value in changes.items()}}


def _from_environment(env: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in fields(Settings):
        variable = PREFIX + each.name.upper()
        if env.get(variable):
            values[each.name] = _typed(variable, env[variable], each.default)
            if flaw := _flaw(each.name, values[each.name]):
                raise SettingInvalid(f"{variable}{flaw}")
    return values


def _from_descriptor(env: Mapping[str, str]) -> dict[str, Any]:
    """Addresses and passwords that the starter of this process left in an inherited descriptor; read, never
    consumed.
    """
    number = env.get(PREFIX + "SECRETS_FD")
    if not number:
        return {}
    try:
        text = os.pread(int(number), 65_536, 0)
        found = json.loads(text)
    except (ValueError, OSError) as error:
        raise SettingInvalid(
            f"{PREFIX}SECRETS_FD={number}: no readable descriptor with JSON in it ({error})"
        ) from error
    return {
        name: found[name]
        for name in ("database_url", "broker_url", "flower_user", "flower_password", "node_key")
        if name in found
    }


def _typed(variable: str, text: str, default: Any) -> Any:
    """`text` as the type of the setting's default."""
    try:
        if isinstance(default, bool):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[text.lower()]
        return type(default)(text)
    except (ValueError, KeyError):
        raise SettingInvalid(f"{variable}={text!r}: must be {_kind(default)} (default {default})") from None


def _flaw(name: str, value: Any) -> str:
    """What is wrong with a value of the right type, as the rest of a sentence that begins with its variable; "" when
    nothing is.
    """
    if name in ("database_url", "broker_url") and (flaw := _flawed_password(name, value)):
        return flaw
    if name == "log_format" and value not in ("text", "json"):
        return f"={value!r}: must be text or json"
    if read := {"retention": retention_of, "retention_at": time_of_day, "labels": labels_of}.get(name):
        try:
            read(value)
        except ValueError as error:
            return f"={value!r}: {error}"
        return ""
    if name == "broker_url":
        told = (
            ": must be like redis://:password@host:6379/0, or rediss:// for TLS (the value is not shown, it may hold a"
            " password)"
        )
        return "" if value.startswith(_BROKERS) else told
    if name == "web_public_url" and not value.startswith(("http://", "https://")):
        return f"={value}: must be like https://tuning.example"
    if name == "checkpoints" and "://" in value and not value.startswith(_S3):
        return f"={value}: must be a directory or an address of S3 such as s3://bucket/prefix"
    if isinstance(value, bool) or not isinstance(value, int | float) or name == "ready_fd":
        return ""
    most = _MOST.get(name, math.inf)
    if name in _ABOVE_0:
        return "" if 0 < value < most else f"={value}: must be a number above 0"
    if most < math.inf:
        return "" if 0 <= value <= most else f"={value}: must be from 0 to {most}"
    return "" if 0 <= value < most else f"={value}: must be 0 or more"


def labels_of(text: str) -> dict[str, str]:
    """The labels that `CELERIAC_LABELS` says. Raises ValueError for what is no list of `key=value`."""
    found: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (part.strip() for part in each.partition("="))
        if not (equals and value and _LABEL.fullmatch(key)) or key in found:
            raise ValueError(f"must be like region=eu,gpu=h100, each key once; {each!r} is not")
        found[key] = value
    return found


def retention_of(text: str) -> dict[str, str]:
    """How long each kind of leftover is kept, as `CELERIAC_RETENTION` says. Raises ValueError for what is no such
    list.
    """
    found: dict[str, str] = {}
    for each in filter(None, (part.strip() for part in text.split(","))):
        kind, _, age = (part.strip() for part in each.partition("="))
        if kind not in RETAINED or kind in found or not _AGE.fullmatch(age):
            raise ValueError(f"must be like reports=30d,checkpoints=7d, of {', '.join(RETAINED)}; {each!r} is not")
        found[kind] = age
    return found


def time_of_day(text: str) -> time:
    """A time of the day. Raises ValueError."""
    try:
        return time.fromisoformat(text)
    except ValueError:
        raise ValueError("must be a time of the day such as 03:30") from None


def _flawed_password(name: str, url: str) -> str:
    """What is wrong with an address whose password is not quoted: read as it stands, a part of it would be taken for
    the host.
    """
    login = url.partition("://")[2].rpartition("@")[0]
    if not re.search(r"[/@#?\s]|%(?![0-9A-Fa-f]{2})", login):
        return ""
    return (
        ": its password holds a character that an address cannot (the value is not shown): write that as %XX, "
        f"or leave the password out and set {PREFIX}{name.removesuffix('_url').upper()}_PASSWORD"
    )


def _with_password(name: str, url: str, password: str) -> str:
    """The address with the password in it, quoted. Raises SettingInvalid when it has one already."""
    if not password or not url:
        return url
    scheme, _, rest = url.partition("://")
    login, _, place = rest.rpartition("@")
    user, has_one, _ = login.partition(":")
    if has_one:
        variable = f"{PREFIX}{name.upper()}"
        raise SettingInvalid(f"{variable}_URL holds a password and {variable}_PASSWORD is set too: leave one out")
    return f"{scheme}://{user}:{quote(password, safe='')}@{place}"


def _kind(default: Any) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "text")


def _expanded(settings: Settings, *, given: set[str]) -> Settings:
    """Paths made absolute; checkpoints, logs and artefacts live under `home` unless they were given."""
    home = settings.home.expanduser().absolute()
    kept = settings.checkpoints if "://" in settings.checkpoints else ""
    shared = Path(settings.checkpoints) if settings.checkpoints and not kept else home / "checkpoints"
    checkpoints = settings.checkpoint_root if "checkpoint_root" in given else shared
    logs = settings.log_root if "log_root" in given else home / "logs"
    artefacts = settings.artefact_root if "artefact_root" in given else str(home / "artefacts")
    if "://" not in artefacts:
        artefacts = str(Path(artefacts).expanduser().absolute())
    return replace(
        settings,
        home=home,
        host=settings.host or os.uname().nodename,
        code_root=settings.code_root.expanduser().absolute(),
        checkpoint_root=checkpoints.expanduser().absolute(),
        checkpoints=kept.rstrip("/"),
        log_root=logs.expanduser().absolute(),
        artefact_root=artefacts,
    )
