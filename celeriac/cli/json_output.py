"""What `--json` prints: the forms of `celeriac.client.forms`, on stdout."""

import json
from typing import Any

from celeriac.client.forms import device_form as device_form
from celeriac.client.forms import form_of_all as form_of_all
from celeriac.client.forms import limits_form as limits_form
from celeriac.client.forms import place_form as place_form
from celeriac.client.forms import progress_form as progress_form
from celeriac.client.forms import study_form as study_form
from celeriac.client.forms import trial_form as trial_form
from celeriac.client.forms import why_form as why_form
from celeriac.report.plain import plain


def dump(value: Any) -> str:
    """JSON of records as printed: indented, non-ASCII text as it is."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def print_json(value: Any) -> None:
    """What `--json` asks for, on stdout."""
    print(dump(value))
