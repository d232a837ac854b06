"""What `--json` prints: the forms of `celeriac.report.forms`, on stdout."""

import json
from typing import Any

from celeriac.cli.screen import say
from celeriac.report.forms import device_form as device_form
from celeriac.report.forms import form_of_all as form_of_all
from celeriac.report.forms import goes_on_form as goes_on_form
from celeriac.report.forms import limits_form as limits_form
from celeriac.report.forms import place_form as place_form
from celeriac.report.forms import progress_form as progress_form
from celeriac.report.forms import study_form as study_form
from celeriac.report.forms import trial_form as trial_form
from celeriac.report.forms import why_form as why_form
from celeriac.report.plain import plain


def dump(value: Any) -> str:
    """JSON of records as printed: indented, non-ASCII text as it is."""
    return json.dumps(plain(value), indent=2, ensure_ascii=False)


def tell_change(as_json: bool, record: Any, *lines: str) -> None:
    """What a command did: the record that it changed as JSON, or the same in words. One way for all that change
    something, so that no program has to read prose.
    """
    if as_json:
        print_json(record)
        return
    for line in lines:
        say(line)


def print_json(value: Any) -> None:
    """What `--json` asks for, on stdout."""
    print(dump(value))
