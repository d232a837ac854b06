"""`python -m celeriac.mcp [--home PATH]`: serve on stdin and stdout until the client hangs up."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from celeriac.domain.errors import CeleriacError
from celeriac.runtime.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Serve; 2 when it cannot as it is set up."""
    parser = argparse.ArgumentParser("python -m celeriac.mcp", description=__doc__)
    parser.add_argument("--home", type=Path, help="where an embedded stack keeps its state")
    asked = parser.parse_args(argv)
    try:
        Settings.from_env(home=asked.home)  # what is wrong with them is told at once
        from celeriac.mcp.server import serve

        serve(asked.home)
    except CeleriacError as error:
        sys.stderr.write(f"celeriac mcp: {error}\n")
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types", "pydantic"):
            raise
        sys.stderr.write("celeriac mcp: the MCP SDK is not installed here: pip install 'celeriac[mcp]'\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
