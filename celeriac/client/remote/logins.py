"""The tokens that `celeriac login` kept, by address: one private file under the home."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from celeriac.domain.errors import SettingInvalid, TokenInvalid
from celeriac.local.home import write_private
from celeriac.runtime.settings import Settings


def token_for(settings: Settings) -> str:
    """The token for the service that the settings name. Raises SettingInvalid without an address, TokenInvalid where
    none is known.
    """
    if not settings.url:
        raise SettingInvalid("no address is known: set CELERIAC_URL, such as http://host:8420")
    found = settings.token or _kept(settings).get(settings.url.rstrip("/"), "")
    if not found:
        raise TokenInvalid(
            f"no token is known for {settings.url}: `celeriac login {settings.url}`, or set CELERIAC_TOKEN"
        )
    return found


def keep(settings: Settings, url: str, token: str | None) -> Path:
    """Keep a token for an address, or forget it (None); the file."""
    kept = _kept(settings)
    if token is None:
        kept.pop(url.rstrip("/"), None)
    else:
        kept[url.rstrip("/")] = token
    path = _file(settings)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_private(path, kept)
    return path


def in_the_clear(url: str) -> bool:
    """Whether a token for this address travels unencrypted, beyond this machine."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1")


def _kept(settings: Settings) -> dict[str, str]:
    try:
        found = json.loads(_file(settings).read_text())
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise SettingInvalid(f"{_file(settings)} cannot be read ({error}): delete it, and log in again") from error
    return {str(url): str(token) for url, token in found.items()}


def _file(settings: Settings) -> Path:
    return settings.home / "logins.json"
