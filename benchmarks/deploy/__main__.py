"""`python -m benchmarks.deploy [--only NAME…]`: each proof by the tool that it needs, or what is missing here."""

import argparse
import sys
import time
from types import ModuleType

from benchmarks.deploy import kubernetes, pooler, prometheus, slurm, systemd, tls

PROOFS: dict[str, ModuleType] = {
    "kubernetes": kubernetes,
    "systemd": systemd,
    "pooler": pooler,
    "prometheus": prometheus,
    "slurm": slurm,
    "tls": tls,
}


def main() -> int:
    """Run them; 1 when one does not hold. One whose tool is missing is said, and holds up nothing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(PROOFS), default=list(PROOFS))
    failed = False
    for name in parser.parse_args().only:
        started = time.monotonic()
        lacks = PROOFS[name].missing()
        try:
            said = f"not run: {lacks}" if lacks else f"held: {PROOFS[name].prove()}"
        except AssertionError as error:
            said, failed = f"BROKEN: {error}", True
        print(f"{name:12} {said} ({time.monotonic() - started:.0f} s)", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
