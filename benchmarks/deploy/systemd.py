"""The units under `deploy/systemd`, as systemd itself reads them: keys, values, and how exposed each program is."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
#: systemd's own measure, from 0 (safe) to 10.
MOST_EXPOSED = {"celeriac@.service": 5.0, "celeriac-worker.service": 7.0}


def missing() -> str:
    """What this machine lacks; "" when nothing."""
    return "" if shutil.which("systemd-analyze") else "systemd-analyze is not here"


def prove() -> str:
    """What held, in a line. Raises AssertionError."""
    with tempfile.TemporaryDirectory() as root:
        told = "".join(_verified(unit, Path(root)) for unit in sorted(UNITS.iterdir()))
    assert not told, told
    exposed = {name: _exposure(UNITS / name) for name in MOST_EXPOSED}
    assert all(exposed[name] <= most for name, most in MOST_EXPOSED.items()), exposed
    return f"systemd-analyze finds no fault; exposure {exposed}"


def _verified(unit: Path, root: Path) -> str:
    """What systemd has against a unit, on a machine where the program is: its path is made one that exists."""
    name = unit.name.replace("@.", "@drive.")
    here = root / name
    here.write_text(unit.read_text().replace("/opt/celeriac/bin/python", "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", str(here)], capture_output=True, text=True)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if name in line]
    return "\n".join(lines)


def _exposure(unit: Path) -> float:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)], capture_output=True, text=True
    )
    found = re.search(r"exposure level for .*: ([\d.]+)", done.stdout)
    assert found, done.stdout + done.stderr
    return float(found[1])
