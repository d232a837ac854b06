"""`deploy/kubernetes` as kubectl renders it, each object held against Kubernetes' own schema, offline.

Needs the program `kubectl` and the package `kubernetes-validate`. KEDA's objects have no schema there: what they ask of
Postgres is held by a test.
"""

import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2] / "deploy" / "kubernetes"
PARTS = ("service", "worker", "gpu", "keda")
OF_KEDA = "keda.sh/v1alpha1"
VERSION = "1.31"


def missing() -> str:
    """What this machine lacks; "" when nothing."""
    if shutil.which("kubectl") is None:
        return "the program kubectl is not here"
    if importlib.util.find_spec("kubernetes_validate") is None:
        return "the package kubernetes-validate is not installed"
    return ""


def prove() -> str:
    """What held, in a line. Raises AssertionError."""
    import kubernetes_validate  # type: ignore[import-not-found, unused-ignore]

    counted: dict[str, int] = {}
    for part in PARTS:
        for each in rendered(part):
            if each["apiVersion"] == OF_KEDA:
                continue
            try:
                kubernetes_validate.validate(each, VERSION, strict=True)
            except kubernetes_validate.ValidationError as error:
                raise AssertionError(f"{part}: {each['kind']} {each['metadata']['name']}: {error}") from error
            counted[each["kind"]] = counted.get(each["kind"], 0) + 1
    return f"Kubernetes {VERSION} takes " + ", ".join(f"{n} {kind}" for kind, n in sorted(counted.items()))


def rendered(part: str) -> list[dict[str, Any]]:
    """The objects of one directory."""
    done = subprocess.run(["kubectl", "kustomize", str(ROOT / part)], capture_output=True, text=True)
    assert done.returncode == 0, f"{part}: {done.stderr}"
    return [each for each in YAML(typ="safe").load_all(done.stdout) if each]
