"""Bad input: refused with a message that names the field, by the API server or on the status; nothing crashes."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import pytest

from tests.faults.api import Refused
from tests.faults.report import Row
from tests.faults.rig import API, Rig

REFUSALS = (400, 413, 422)
TOO_LARGE = 10 * 2**20  # bytes; what etcd takes is 1.5 MB

BAD: list[tuple[str, dict[str, Any]]] = [
    ("spec.desiredState", {"desiredState": "Flying"}),
    ("spec.image", {"image": "a b"}),
    ("spec.image", {"image": ""}),
    ("spec.image", {"image": "x" * 5000}),
    ("spec.image", {"image": 7}),
    ("spec.colour", {"colour": "red"}),
    ("spec.command", {"command": "sleep"}),
    ("spec.command", {"command": ["a\0b"]}),
    ("spec.args", {"args": ["x"] * 5000}),
    ("spec.tty", {"tty": "yes"}),
    ("spec.env", {"env": [{"name": "A=B", "value": "x"}]}),
    ("spec.env", {"env": [{"name": "A", "value": "a\0b"}]}),
    ("spec.env", {"env": [{"name": "A", "value": "x"}, {"name": "A", "value": "y"}]}),
    ("spec.env", {"env": [{"name": f"N{n}", "value": "x"} for n in range(1001)]}),
    ("spec.projectPath", {"projectPath": "/srv/../etc"}),
    ("spec.projectPath", {"projectPath": "//etc"}),
    ("spec.projectPath", {"projectPath": "relative"}),
    ("spec.projectPath", {"projectPath": "/etc"}),
    ("spec.workingDir", {"workingDir": "/./proc/self/fd/8"}),
    ("spec.volumes", {"volumes": [{"name": "a", "mountPath": "../x"}]}),
    ("spec.ports", {"ports": [{"name": "http", "containerPort": 70000}]}),
    ("spec.ports", {"ports": [{"name": "http", "containerPort": 0}]}),
    ("spec.resources", {"resources": {"limits": {"memory": "1Mi"}}}),
    ("spec.resources", {"resources": {"limits": {"memory": "256MB"}}}),
    ("spec.resources", {"resources": {"limits": {"memory": "900Gi"}}}),
    ("spec.resources", {"resources": {"limits": {"cpu": "-1"}}}),
    ("spec.resources", {"resources": {"limits": {"pids": 0}}}),
    ("spec.securityContext", {"securityContext": {"runAsUser": -1}}),
    ("spec.securityContext", {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}),
    ("spec.securityContext", {"securityContext": {"privileged": True}}),
    ("spec.network", {"network": {"mode": "Host"}}),
    ("spec.livenessProbe", {"livenessProbe": {"exec": {"command": []}}}),
    ("spec.terminationGracePeriodSeconds", {"terminationGracePeriodSeconds": 3601}),
    ("spec.terminationGracePeriodSeconds", {"terminationGracePeriodSeconds": -1}),
    ("spec.updatePolicy", {"updatePolicy": "Never"}),
    ("spec.recovery", {"recovery": {"maxRetries": -1}}),
    ("spec.recovery", {"recovery": {"backoff": {"factor": 0}}}),
    ("spec.host", {"host": "../default"}),
    ("spec.host", {"host": "nowhere"}),
]


def test_28_bad_input(rig: Rig, row: Row) -> None:
    rig.apply("good")
    before = rig.running("good")["State"]["StartedAt"]
    for number, (field, spec) in enumerate(BAD):
        began = row.inject()
        message = _refusal(rig, f"bad-{number}", spec)
        assert field in message, f"{spec}: the message does not name {field}: {message}"
        row.recovered(began)
    began = row.inject(2)
    large = {"apiVersion": API, "kind": "Workspace", "metadata": {"name": "oversized", "namespace": rig.namespace}}
    with pytest.raises(subprocess.CalledProcessError) as refused:
        rig.cluster.kubectl("create", "-f", "-", stdin=json.dumps(large | {"spec": {"args": ["x" * TOO_LARGE]}}))
    assert "large" in refused.value.stderr, refused.value.stderr
    rig.apply("many", {"env": [{"name": f"N{n}", "value": str(n)} for n in range(1000)]})
    rig.converge()
    row.recovered(began, 2)
    assert rig.controller.running
    assert rig.oracle.containers(rig.namespace, "good")[0]["State"]["StartedAt"] == before


def _refusal(rig: Rig, name: str, spec: dict[str, Any]) -> str:
    """The message that a spec is refused with."""
    try:
        rig.apply(name, spec, strict=True)
    except Refused as refused:
        if refused.code not in REFUSALS:
            raise
        return str(refused)
    error = rig.phase(name, "Failed")["lastError"]
    assert error["class"] == "Configuration", error
    rig.delete(name)
    return str(error["message"])
