"""How addresses and passwords reach the programs that we start: in an inherited descriptor, never in an environment."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from celeriac.runtime.settings import PREFIX, Settings, inherited

_SECRET = (
    *("DATABASE_URL", "BROKER_URL", "DATABASE_PASSWORD", "BROKER_PASSWORD", "COORDINATOR_PASSWORD", "WORKER_PASSWORD"),
    *("FLOWER_USER", "FLOWER_PASSWORD", "READY_FD", "TOKEN"),
)


def secrets_descriptor(settings: Settings, *names: str) -> int:
    """An anonymous file with these settings, for children to inherit; the caller closes it."""
    descriptor = os.memfd_create("celeriac-secrets")
    os.write(descriptor, json.dumps({name: getattr(settings, name) for name in names}).encode())
    return descriptor


def environment_without(environ: Mapping[str, str], descriptor: int, *more: str) -> dict[str, str]:
    """The starter's environment without secrets, and without the settings named in `more`; it names the descriptor."""
    dropped = {PREFIX + name for name in (*_SECRET, *more)}
    kept = {name: value for name, value in environ.items() if name not in dropped}
    return {**kept, PREFIX + "SECRETS_FD": str(descriptor)}


@contextmanager
def inherited_secrets(settings: Settings, **more: str) -> Iterator[dict[str, Any]]:
    """What a program of ours is started with in the block, so that it knows where Postgres and Redis are: `pass_fds`
    and `env` of `subprocess`. `more`: further variables of its environment.
    """
    descriptor = secrets_descriptor(settings, "database_url", "broker_url")
    try:
        yield {"pass_fds": [descriptor], "env": {**environment_without(inherited({}), descriptor), **more}}
    finally:
        os.close(descriptor)
