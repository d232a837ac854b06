"""Commands on this machine's logins: to which services it has a token."""

import sys
from typing import Annotated

import typer

from celeriac.cli.screen import remark, say
from celeriac.cli.service import Home

Url = Annotated[str, typer.Argument(metavar="URL", help="The service, such as http://host:8420.", show_default=False)]


def login(url: Url, home: Home = None) -> None:
    """Keep a token for a service, which is asked for or read from stdin; `CELERIAC_URL` then is all that is needed."""
    from dataclasses import replace

    from celeriac.client.remote.client import RemoteClient
    from celeriac.client.remote.logins import in_the_clear, keep
    from celeriac.domain.errors import TokenInvalid
    from celeriac.runtime.settings import Settings

    settings = Settings.from_env(home=home, running_stack=False)
    if in_the_clear(url):
        remark(
            f"{url} has no TLS: whoever sees the traffic sees the token. Use https where the network is not private."
        )
    token = _asked_for(url)
    if not token:
        raise TokenInvalid(
            f"no token was given: `celeriac token create NAME` on the service's host makes one for {url}"
        )
    name, scopes = RemoteClient(replace(settings, url=url, token=token)).me()  # one that does not hold is not kept
    path = keep(settings, url, token)
    say(f"logged in to {url} as {name}, which may {', '.join(scopes)}")
    remark(f"The token is in {path}. Use it:  export CELERIAC_URL={url}")


def _asked_for(url: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    return str(typer.prompt(f"Token for {url}", hide_input=True, err=True)).strip()


def logout(url: Url, home: Home = None) -> None:
    """Forget the token for a service; `celeriac token revoke` takes it back for all."""
    from celeriac.client.remote.logins import keep
    from celeriac.runtime.settings import Settings

    keep(Settings.from_env(home=home, running_stack=False), url, None)
    say(f"the token for {url} is forgotten here")
