"""`python -m worker.gpu_test`: tests this host's GPUs and prints what was found, a JSON object a line: `celeriac doctor
--gpu` shows it. Each GPU is used for some seconds; what runs on it meanwhile may be slower, or short of memory.
"""

import json
import os
import sys
from dataclasses import asdict

from celeriac.domain.errors import CallerError
from celeriac.runtime.settings import Settings
from worker.gpu_test.examine import examine


def main() -> int:
    """Test; returns the exit status: 0, whatever was found, and 2 where the settings cannot be read."""
    try:
        settings = Settings.from_env()
    except CallerError as error:
        print(error, file=sys.stderr)
        return 2
    for each in examine(settings.simulated_gpus, os.environ):
        print(json.dumps(asdict(each)), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
