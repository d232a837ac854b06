"""Commands on API tokens: who may use the board and the API, and what they may do."""

import json
from typing import Annotated

import typer

from celeriac.cli import text
from celeriac.cli.hints import command
from celeriac.cli.json_output import print_json, tell_change
from celeriac.cli.screen import Grid, remark, show
from celeriac.cli.service import AsJson, Home, connected
from celeriac.domain.errors import CeleriacError

app = typer.Typer(name="token", help="Who may use the board and the API.", no_args_is_help=True, rich_markup_mode=None)

TokenName = Annotated[str, typer.Argument(metavar="NAME", help="The token's name: it is who, in all records.")]
Scopes = Annotated[
    str, typer.Option("--scope", metavar="SCOPES", help="What it may do, with commas: read, submit, operate, code.")
]
Expires = Annotated[str | None, typer.Option("--expires", metavar="TIME", help="It ends after this: `90d`, `12h`.")]
OfToken = Annotated[str | None, typer.Argument(metavar="[NAME]", help="As this token (default: the owner's).")]
_WHY = "who may use the API is decided on the service's own host, by nobody who only has a token"


@app.command("create")
def create(
    name: TokenName, scope: Scopes = "read,submit", expires: Expires = None, home: Home = None, as_json: AsJson = False
) -> None:
    """Make a token and print it: nobody can show it again."""
    from celeriac.domain.records import Scope
    from celeriac.domain.study_file import seconds_of
    from celeriac.store.tokens import make_token

    for_s = None if expires is None else seconds_of(expires)
    if expires is not None and not for_s:
        raise typer.BadParameter(f"--expires {expires!r}: must be a time such as 90d or 12h")
    try:
        scopes = tuple(dict.fromkeys(Scope(each.strip()) for each in scope.split(",")))
    except ValueError:
        raise typer.BadParameter(f"--scope {scope!r}: known are {', '.join(Scope)}") from None
    with connected(home, why=_WHY) as client:
        token = make_token(client.web_store(), name, scopes, for_s)
    if as_json:
        print_json({"name": name, "scopes": scopes, "expires_in_s": for_s, "token": token})
    else:
        print(token)
    remark(f"It may {', '.join(scopes)}. It is shown this once; {command('token', 'revoke', name)} takes it back.")


@app.command("list")
def listed(home: Home = None, as_json: AsJson = False) -> None:
    """List all tokens: what they may do, when they were used last, and whether they hold."""
    with connected(home, why=_WHY) as client:
        found, now = client.web_store().tokens(), client.store.now()
    if as_json:
        kept = ("name", "scopes", "made_at", "used_at", "expires_at", "revoked_at")
        print_json([{key: getattr(each, key) for key in kept} for each in found])
        return
    rows = []
    for each in found:
        over = each.expires_at is not None and each.expires_at <= now
        holds = f"revoked {text.moment(each.revoked_at)}" if each.revoked_at else "has expired" if over else "yes"
        until = "-" if each.expires_at is None else text.moment(each.expires_at)
        used = "never" if each.used_at is None else f"{text.between(each.used_at, now)} ago"
        rows.append((each.name, ", ".join(each.scopes), holds, until, used, text.moment(each.made_at)))
    show(Grid(("token", "may", "holds", "until", "used", "made"), rows), "No token: `celeriac token create NAME`.")


@app.command("revoke")
def revoke(name: TokenName, home: Home = None, as_json: AsJson = False) -> None:
    """Take a token back: from now on it lets nobody in, nor do the browsers that logged in by it."""
    with connected(home, why=_WHY) as client:
        client.web_store().revoke_token(name)
    tell_change(as_json, {"name": name, "revoked": True}, f"token {name} lets nobody in any more")


@app.command("link")
def link(name: OfToken = None, home: Home = None) -> None:
    """Print a link to the board that lets one browser in, once, within the hour."""
    from celeriac.store.tokens import make_link

    with connected(home, why=_WHY) as client:
        stack = client.settings.stack_file
        try:
            url = json.loads(stack.read_text())["web_url"] or ""
            name = name or json.loads((stack.parent / "owner.json").read_text())["name"]
        except (OSError, ValueError, KeyError):
            url = client.settings.web_public_url.rstrip("/")
        if name is None:
            raise CeleriacError("whose link? `celeriac token list` shows all tokens: `celeriac token link NAME`")
        print(f"{url}/login/once?code={make_link(client.web_store(), name)}")
