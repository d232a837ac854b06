"""`python -m celeriac.web`: serve the board and the API until told to stop.

Exit codes: 0 told to stop, 2 it cannot run as it is set up (a setting, an older or newer database, a port that is
taken).
"""

import argparse
import sys
from pathlib import Path

from celeriac.domain.errors import CeleriacError
from celeriac.runtime.settings import Settings


def main() -> int:
    """Run the program; returns its exit code."""
    parser = argparse.ArgumentParser("python -m celeriac.web", description=__doc__)
    parser.add_argument("--home", type=Path, help="where an embedded stack keeps its state")
    try:
        settings = Settings.from_env(home=parser.parse_args().home)
        from celeriac.web.server import serve

        serve(settings)
    except CeleriacError as error:
        sys.stderr.write(f"celeriac web: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
