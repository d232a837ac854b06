"""Tokens, and the sessions that stand on them."""

from celeriac.domain.errors import TokenInvalid
from celeriac.domain.records import ApiToken, WebSession
from celeriac.store.connection import Session
from celeriac.store.postgres.records import record_of
from celeriac.store.postgres.statements import statement
from celeriac.store.postgres.verbs import Verbs, ask


class Access(Verbs):
    """Verbs on tokens and sessions."""

    def add_token(self, token: ApiToken) -> ApiToken:
        values = {"name": token.name, "digest": token.digest, "expires_at": token.expires_at}
        made = self._db.once(statement("add_token"), **values, scopes=[str(each) for each in token.scopes])
        if not made:
            raise TokenInvalid(
                f"a token {token.name} exists, or was revoked: names are kept, since records say them;"
                " choose another (`celeriac token list`)"
            )
        return record_of(ApiToken, made[0])

    def tokens(self) -> list[ApiToken]:
        return self._all(ApiToken, "tokens")

    def token_of(self, digest: str) -> ApiToken | None:
        found = self._one(ApiToken, "token_of", digest=digest)
        if found is not None:
            self._rows("use_token", name=found.name)
        return found

    def revoke_token(self, name: str) -> None:
        def revoke(connection: Session) -> bool:
            ask(connection, "end_sessions_of", token=name)
            return bool(ask(connection, "revoke_token", name=name))

        if not self._db.transaction(revoke):
            raise TokenInvalid(f"there is no token {name}: `celeriac token list` shows all")

    def open_session(self, token: str, digest: str, csrf: str, for_s: float, *, is_link: bool = False) -> bool:
        self._rows("forget_old_sessions")
        values = {"digest": digest, "csrf": csrf, "for_s": for_s, "is_link": is_link}
        return bool(self._db.once(statement("open_session"), token=token, **values))

    def use_link(self, link: str, digest: str, csrf: str, for_s: float) -> WebSession | None:
        found = self._db.once(statement("use_link"), link=link, digest=digest, csrf=csrf, for_s=for_s)
        return record_of(WebSession, found[0]) if found else None

    def session_of(self, digest: str) -> WebSession | None:
        found = self._one(WebSession, "session_of", digest=digest)
        if found is not None:
            self._rows("use_token", name=found.token)
        return found

    def end_session(self, digest: str) -> None:
        self._rows("end_session", digest=digest)
