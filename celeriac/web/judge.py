"""`python -m celeriac.web.judge [--method fanova] STUDY`: which parameters mattered in a study, as JSON.

A program of its own, that ends: what it stands on takes 120 MB and a second to load, and the board's process lasts.
"""

import argparse
import json
import sys
from pathlib import Path

from celeriac.client import Client
from celeriac.domain.errors import CeleriacError, ExtraMissing
from celeriac.report.plain import plain
from celeriac.runtime.settings import Settings
from celeriac.store import open_store

LACKS = 3


def main() -> int:
    """Judge and print; returns the exit code, 2 with one line on standard error when it cannot, `LACKS` when that is
    for want of Optuna.
    """
    parser = argparse.ArgumentParser("python -m celeriac.web.judge", description=__doc__)
    parser.add_argument("--home", type=Path, help="where an embedded stack keeps its state")
    parser.add_argument("--method", default="ped-anova")
    parser.add_argument("study")
    asked = parser.parse_args()
    try:
        settings = Settings.from_env(home=asked.home)
        with Client(settings, store=open_store(settings.database_url)) as client:
            print(json.dumps(plain(client.study(asked.study).importance(asked.method))))
    except CeleriacError as error:
        sys.stderr.write(f"{error}\n")
        return LACKS if isinstance(error, ExtraMissing) else 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
