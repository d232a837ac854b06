"""What runs after a promotion: a command on the coordinator's host, or a request to an address."""

from dataclasses import dataclass
from typing import Any

HOOK_S = 60.0


@dataclass(frozen=True, slots=True)
class Hook:
    """Exactly one of `command` (words, run without a shell) and `url`. `secret_env` names the variable of the
    coordinator's environment that holds the secret which requests are signed with; "": they are not signed.
    """

    command: tuple[str, ...] = ()
    url: str = ""
    secret_env: str = ""
    timeout_s: float = HOOK_S

    def to_dict(self) -> dict[str, Any]:
        """The canonical form: `hook` of a schedule. What is not set is left out."""
        form = {"command": list(self.command), "url": self.url, "secret_env": self.secret_env}
        return {key: value for key, value in form.items() if value} | {"timeout": self.timeout_s}
