"""`make audit`: the pinned packages beside the database of known vulnerabilities, by pip-audit.

pip-audit says "no known vulnerabilities" and ends with 0 when it could not look up a single package, as behind a mirror
of the index that holds no advisories. So its answer is read here: what was not looked up is a failure.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
ANSWER_S = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and judge; 0 only when each package was looked up and none is known to be vulnerable."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.audit", description=__doc__)
    parser.add_argument("--with", dest="program", default=sys.executable, help="the Python that has pip-audit")
    parser.add_argument("--out", default="build/bench/audit.json")
    options = parser.parse_args(arguments)
    words = ["-r", CONSTRAINTS, "--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json"]
    command = [options.program, "-m", "pip_audit", *words, "--timeout", str(ANSWER_S)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        found = json.loads(done.stdout)
    except ValueError:
        said = done.stderr.strip().splitlines()
        print(f"NOT AUDITED: pip-audit ended with {done.returncode}: {said[-1] if said else 'it said nothing'}")
        return 1
    Path(options.out).parent.mkdir(parents=True, exist_ok=True)
    Path(options.out).write_text(json.dumps(found, indent=2) + "\n")
    complaints = judged(found)
    print("\n".join(complaints) or f"{len(found['dependencies'])} packages looked up, none is known to be vulnerable")
    return int(bool(complaints))


def judged(found: Mapping[str, Any]) -> list[str]:
    """What is wrong, a line each: vulnerable packages, and those that were not looked up."""
    packages = found["dependencies"]
    complaints = [
        f"{each['name']} {each['version']}: {flaw['id']}, fixed in {', '.join(flaw['fix_versions']) or 'none yet'}"
        for each in packages
        for flaw in each.get("vulns", ())
    ]
    unseen = [each["skip_reason"] for each in packages if "skip_reason" in each]
    if unseen or not packages:
        why = f": {unseen[0]}" if unseen else ""
        complaints.append(
            f"NOT AUDITED: {len(unseen)} of {len(packages)} packages could not be looked up{why}. "
            "Run it where https://pypi.org itself is reached, and not a mirror of its files."
        )
    return complaints


if __name__ == "__main__":
    sys.exit(main())
