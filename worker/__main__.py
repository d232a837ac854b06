"""`python -m worker [--slots N]`: the node of this host.

Without `--slots` (or the setting `slots`) it takes one slot a GPU, and on a host without GPUs one a processor, at most
eight.
Exit statuses: 0 stopped as told, 1 an error that a restart may heal, 2 one that a person has to.
"""

import argparse
import logging
import sys
from collections.abc import Sequence

from celeriac.domain.errors import CallerError
from celeriac.runtime import logs
from celeriac.runtime.settings import Settings
from worker.node.node import serve


def main(argv: Sequence[str]) -> int:
    """Be this host's node until told to stop; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker", description="Run trials on this host's devices.")
    parser.add_argument("--slots", type=int, default=None, metavar="N", help="N CPU slots, and no GPU")
    chosen = parser.parse_args(argv).slots
    text = "%(asctime)s node %(levelname)s %(name)s: %(message)s"
    logs.set_up(logs.TEXT, "node", text=text)
    try:
        settings = Settings.from_env()
        logs.set_up(settings.log_format, f"node@{settings.host}", text=text)
        return serve(settings, chosen)
    except CallerError as error:
        logging.getLogger("worker.node.node").error("%s", error)
        return 2


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
