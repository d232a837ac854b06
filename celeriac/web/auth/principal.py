"""Who asks: a token, by its header or by a browser's session."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from celeriac.domain.records import Scope, digest_of
from celeriac.store import WebStore
from celeriac.web.problems import Refused

COOKIE = "celeriac_session"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks, by the token's name. `csrf`: what the forms of a browser's session must carry ("": no browser)."""

    name: str
    scopes: frozenset[Scope]
    csrf: str = ""
    session: str = ""

    def may(self, scope: Scope) -> bool:
        """Whether the token has the scope."""
        return scope in self.scopes

    @property
    def operates(self) -> bool:
        """Whether its pages have buttons: it is a browser, whose token may do what they do."""
        return bool(self.csrf) and self.may(Scope.OPERATE)


def bearer(request: Request) -> str | None:
    """The token in the header; None where there is none."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    return secret.strip() if kind.lower() == "bearer" else None


def who_asks(store: WebStore, request: Request) -> Principal | None:
    """The one who asks; None: nobody that we know. A header decides alone: its token is never helped by a cookie."""
    if "authorization" in request.headers:
        token = store.token_of(digest_of(bearer(request) or ""))
        return None if token is None else Principal(token.name, frozenset(token.scopes))
    secret = request.cookies.get(COOKIE, "")
    session = store.session_of(digest_of(secret)) if secret else None
    if session is None:
        return None
    return Principal(session.token, frozenset(session.scopes), session.csrf, session.digest)


def principal_of(request: Request) -> Principal:
    """The one whom the guard let pass."""
    found: Principal = request.state.principal
    return found


def need(scope: Scope) -> Callable[[Request], Principal]:
    """A dependency: the token must have this scope. Each route of the API and the board names one."""

    def needed(request: Request) -> Principal:
        principal = principal_of(request)
        if not principal.may(scope):
            has = ", ".join(sorted(principal.scopes)) or "none"
            lacks = f"this needs the scope `{scope}`; the token {principal.name} has: {has}"
            raise Refused(403, f"{lacks}. {another_token(*principal.scopes, scope)}", kind="scope-missing")
        return principal

    needed.scope = scope  # type: ignore[attr-defined]
    return needed


def another_token(*scopes: Scope) -> str:
    """What to do without a scope."""
    wanted = ",".join(sorted(scopes))
    return f"Whoever keeps the service can make another (`celeriac token create NAME --scope {wanted}`)"


def anybody(request: Request) -> Principal:
    """A dependency: any token will do."""
    return principal_of(request)


anybody.scope = None  # type: ignore[attr-defined]
Anybody = Annotated[Principal, Depends(anybody)]
Reader = Annotated[Principal, Depends(need(Scope.READ))]
Submitter = Annotated[Principal, Depends(need(Scope.SUBMIT))]
Operator = Annotated[Principal, Depends(need(Scope.OPERATE))]
