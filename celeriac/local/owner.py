"""The stack's owner on the board: a token of their own, kept in their home, and a link that lets a browser in once."""

import json
import os
import pwd
import re

from celeriac.domain.errors import TokenInvalid
from celeriac.domain.records import Scope, digest_of
from celeriac.local.home import Home, write_private
from celeriac.runtime.settings import Settings
from celeriac.store import open_web_store
from celeriac.store.api_web import WebStore
from celeriac.store.tokens import make_link, make_token


def admit(settings: Settings) -> str:
    """The code of a link for the owner, whose token is made if there is none that holds."""
    home = Home(settings.home)
    store = open_web_store(settings.database_url)
    try:
        return make_link(store, _owner(store, home, settings.host))
    finally:
        store.close()


def _owner(store: WebStore, home: Home, host: str) -> str:
    try:
        kept = json.loads(home.owner.read_text())["token"]
    except (OSError, ValueError, KeyError, TypeError):
        kept = ""
    if kept and (found := store.token_of(digest_of(kept))):
        return found.name
    taken = {each.name for each in store.tokens()}
    name = base = re.sub(r"[^A-Za-z0-9._@-]", "-", f"{_user()}@{host}")[:50].lstrip("._@-") or "owner"
    for number in range(2, len(taken) + 3):  # a name once used stays with what it did
        if name not in taken:
            break
        name = f"{base}-{number}"
    token = make_token(store, name, tuple(Scope))
    try:
        write_private(home.owner, {"name": name, "token": token})
    except OSError as error:
        raise TokenInvalid(f"{home.owner} cannot be written ({error}): the owner's token would be lost") from error
    return name


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
