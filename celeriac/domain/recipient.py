"""Where a schedule's morning is sent: to an address, or as mail."""

from dataclasses import dataclass
from typing import Any

FORMATS = ("slack", "json")


@dataclass(frozen=True, slots=True)
class Recipient:
    """Exactly one of `url`, `url_env` (the variable of the coordinator's environment that holds the address, where it
    is a secret) and `mail` (addresses). `format` is of what an address gets: slack or json. `secret_env` names the
    variable with the secret that requests are signed with; "": they are not signed.
    """

    url: str = ""
    url_env: str = ""
    mail: tuple[str, ...] = ()
    format: str = "slack"
    secret_env: str = ""

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: `morning` of a schedule. What is not set is left out."""
        form = {"url": self.url, "url_env": self.url_env, "mail": list(self.mail), "secret_env": self.secret_env}
        told = {key: value for key, value in form.items() if value}
        return told if self.mail else told | {"format": self.format}
