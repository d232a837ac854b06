"""The Kubernetes manifests as they stand: what every pod must have, and that they agree with compose and the settings.

`make deploy-test` renders them and holds them against Kubernetes' own schemas.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from celeriac.runtime.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
SETTINGS = {PREFIX + each.name.upper() for each in fields(Settings)}
OBJECTS: list[dict[str, Any]] = [
    each
    for path in sorted((ROOT / "deploy" / "kubernetes").glob("*/*.yaml"))
    for each in YAML(typ="safe").load_all(path.read_text())
]
WORKLOADS = {each["metadata"]["name"]: each for each in OBJECTS if each["kind"] in ("Deployment", "StatefulSet")}
PODS = {name: each["spec"]["template"]["spec"] for name, each in WORKLOADS.items()}


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """All of a pod's."""
    return [*pod["containers"], *pod.get("initContainers", [])]


def variables(container: dict[str, Any]) -> dict[str, Any]:
    """Its environment: what each variable is, or where it comes from."""
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container.get("env", [])}


def test_the_workloads_are_those_of_the_design() -> None:
    assert set(WORKLOADS) == {"postgres", "redis", "coordinator", "clock", "beat", "flower", "worker"}


@pytest.mark.parametrize("name", PODS)
def test_no_pod_is_root_or_has_a_right_that_it_does_not_need(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for each in containers(pod):
        safe = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
        assert each["securityContext"] == safe
        assert each["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", PODS)
def test_passwords_come_from_the_secret_and_names_are_those_of_settings(name: str) -> None:
    for each in containers(PODS[name]):
        for variable, value in variables(each).items():
            if variable.startswith(PREFIX):
                assert variable in SETTINGS
            if "PASSWORD" in variable or variable == "REDISCLI_AUTH":
                assert value["secretKeyRef"]["name"] == "celeriac"


def test_a_worker_has_longer_to_end_than_its_trials_have_for_a_checkpoint() -> None:
    worker = PODS["worker"]
    told = variables(worker["containers"][0])
    assert worker["terminationGracePeriodSeconds"] >= float(told["CELERIAC_CHECKPOINT_GRACE_S"]) + 20
    assert told["CELERIAC_HOST"] == {"fieldRef": {"fieldPath": "metadata.name"}}


def test_the_logins_of_redis_are_those_of_compose() -> None:
    compose = YAML(typ="safe").load((ROOT / "docker-compose.yml").read_text())["services"]["redis"]["command"][2]
    assert PODS["redis"]["containers"][0]["command"][2] == compose.replace("$$", "$")


def test_nothing_reaches_a_pod_but_what_is_named() -> None:
    policies = {each["metadata"]["name"]: each["spec"] for each in OBJECTS if each["kind"] == "NetworkPolicy"}
    assert policies["nobody"] == {"podSelector": {}, "policyTypes": ["Ingress"]}
    assert [rule["ports"] for rule in policies["stores"]["ingress"]] == [[{"port": 5432}, {"port": 6379}]]


def test_workers_are_scaled_by_rows_and_never_by_the_length_of_a_queue() -> None:
    (scaled,) = [each["spec"] for each in OBJECTS if each["kind"] == "ScaledObject"]
    assert [each["type"] for each in scaled["triggers"]] == ["postgresql"]
    assert scaled["triggers"][0]["metadata"]["userName"] == "celeriac_worker"
