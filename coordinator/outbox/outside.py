"""What deliveries need besides the store, and how they say that one did not come through."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from celeriac.runtime.artefacts import Artefacts


class NotDelivered(Exception):
    """It did not come through; says how. `again_s`: when to try again; None: later each time."""

    def __init__(self, what: str, again_s: float | None = None) -> None:
        super().__init__(what)
        self.again_s = again_s


@dataclass(frozen=True, slots=True)
class Outside:
    """`artefacts` opens the root, or says why it cannot be opened; `secret_of` gives the secret in a variable of the
    environment, which `secret` asks for; mails go to `smtp_url`. `call_local`: whether mornings may go to this host
    itself.
    """

    artefacts: Callable[[], Artefacts]
    secret_of: Callable[[str], str]
    code_root: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict)
    hook_commands: bool = True
    smtp_url: str = ""
    mail_from: str = ""
    call_local: bool = False

    def secret(self, name: str) -> str:
        """The secret in this variable; "" where none is named. Raises NotDelivered when it is not set."""
        found = self.secret_of(name) if name else ""
        if name and not found:
            raise NotDelivered(f"{name} is not set where the coordinator's clock runs")
        return found
