"""A tenant wants to forge log lines, or to fill the monitoring."""

import json
import re
import subprocess
import unicodedata
from typing import Any

import pytest

from tests.security.stack import PATIENCE, Stack, Tenant
from tests.waiting import eventually

log_injection = pytest.mark.threat("log injection")
metrics = pytest.mark.threat("metrics")

EVIL = '\x1b[2J\x1b[31m\r\n{"level":"info","message":"forged"}\n\u2028\u202eforged\x07\x9b1m'
MESSAGE_LIMIT = 1024  # characters, of a status' message
LINE_LIMIT = 16384  # characters, of a line of the log
MARK = "zqmarkzq"


@log_injection
@pytest.mark.parametrize(
    "spec",
    [
        {"owner": EVIL},
        {"host": EVIL},
        {"image": f"alpine{EVIL}"},
        {"image": "no-such-registry.invalid/forged:1"},
        {"command": [f"/no/such{EVIL}"]},
        {"command": ["/no/such" + "x" * 60000]},
        {"args": [EVIL]},
        {"workingDir": f"/{EVIL}"},
        {"env": [{"name": "A", "value": EVIL}]},
        {"env": [{"name": EVIL, "value": "x"}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": EVIL, "key": "k"}}}]},
        {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": EVIL}}}]},
        {"envFrom": [{"configMapRef": {"name": EVIL}}]},
        {"imagePullSecrets": [{"name": EVIL}]},
        {"projectPath": f"/srv/{EVIL}"},
        {"projectMountPath": f"/{EVIL}"},
        {"volumes": [{"name": EVIL, "mountPath": "/v"}]},
        {"volumes": [{"name": "v", "mountPath": f"/{EVIL}"}]},
        {"ports": [{"name": EVIL, "containerPort": 80}]},
        {"securityContext": {"capabilities": {"add": [EVIL]}}},
        {"resources": {"limits": {"memory": f"1Gi{EVIL}"}}},
        {"livenessProbe": {"exec": {"command": [EVIL]}, "periodSeconds": 1, "failureThreshold": 1}},
    ],
    ids=lambda spec: f"{next(iter(spec))}-{len(str(spec))}",
)
def test_no_field_forges_a_line(stack: Stack, alice: Tenant, spec: dict[str, Any]) -> None:
    try:
        alice.apply("forger", {"recovery": {"maxRetries": 0}} | spec)
    except subprocess.CalledProcessError as error:
        assert f"spec.{next(iter(spec))}" in error.stderr  # noqa: PT017
    else:
        eventually(lambda: alice.status("forger")["phase"] not in ("Pending", "Creating", "Pulling"), PATIENCE)
    _assert_clean(stack, alice)


@log_injection
@pytest.mark.parametrize("place", ["annotations", "labels"])
def test_no_metadata_forges_a_line(stack: Stack, alice: Tenant, place: str) -> None:
    key = "aicli.dev/restartedAt" if place == "annotations" else "forged"
    try:
        stack.start(alice, "forger", {}, **{place: {key: EVIL}})
    except subprocess.CalledProcessError as error:
        assert place in error.stderr  # noqa: PT017
    else:
        alice.kubectl("annotate", "workspace", "forger", "--overwrite", f"{key}=again{EVIL}")
        eventually(lambda: stack.running(alice, "forger"), PATIENCE)
    _assert_clean(stack, alice)


@log_injection
def test_output_of_a_container_stays_in_its_own_log(stack: Stack, alice: Tenant) -> None:
    stack.start(
        alice,
        "printer",
        {"command": ["sh", "-c", "printf '%s' \"$EVIL\"; sleep 3600"], "env": [{"name": "EVIL", "value": EVIL}]},
    )
    _assert_clean(stack, alice)


def _assert_clean(stack: Stack, tenant: Tenant) -> None:
    for line in stack.controller.output().splitlines():
        entry = json.loads(line)
        assert entry["message"] != "forged"
        assert len(line) <= LINE_LIMIT
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202e]", stack.controller.output())
    for item in json.loads(tenant.kubectl("get", "workspaces,events", "-o", "json"))["items"]:
        for message in _messages(item):
            assert not [c for c in message if unicodedata.category(c) in ("Cc", "Cf", "Zl", "Zp")], message
            assert len(message) <= MESSAGE_LIMIT


def _messages(item: dict[str, Any]) -> list[str]:
    if item["kind"] == "Event":
        return [item["message"]]
    status = item.get("status", {})
    conditions = [condition["message"] for condition in status.get("conditions", [])]
    return [*conditions, status.get("lastError", {}).get("message", "")]


@metrics
def test_metrics_are_on_loopback(stack: Stack) -> None:
    assert stack.listen.startswith("127.0.0.1:")
    assert "# TYPE" in stack.metrics()


@metrics
@pytest.mark.parametrize("field", ["owner", "image", "host", "name"])
def test_tenants_text_is_no_label_value(stack: Stack, alice: Tenant, field: str) -> None:
    before = _series(stack)
    items = []
    for number in range(100):
        name = f"{MARK}-{number}" if field == "name" else f"plain-{number}"
        spec = {"desiredState": "Stopped"} | ({} if field == "name" else {field: f"{MARK}-{number}"})
        metadata = {"name": name, "namespace": alice.namespace}
        items.append({"apiVersion": "aicli.dev/v1alpha1", "kind": "Workspace", "metadata": metadata, "spec": spec})
    body = {"apiVersion": "v1", "kind": "List", "items": items}
    alice.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    last = str(items[-1]["metadata"]["name"])
    eventually(lambda: alice.status(last)["conditions"], PATIENCE)
    assert MARK not in stack.metrics()
    assert _series(stack) - before < len(items)


@metrics
def test_namespaces_are_no_unbounded_label(stack: Stack) -> None:
    """As many namespaces as an administrator may have: their number must not be the number of series."""
    before = _series(stack)
    names = [f"{MARK}-{number}" for number in range(50)]
    namespaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]
    workspaces = [
        {
            "apiVersion": "aicli.dev/v1alpha1",
            "kind": "Workspace",
            "metadata": {"name": "w", "namespace": name},
            "spec": {"desiredState": "Stopped"},
        }
        for name in names
    ]
    try:
        for items in (namespaces, workspaces):
            stack.cluster.kubectl(
                "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items})
            )
        eventually(lambda: "Ready" in stack.cluster.kubectl("get", "ws", "w", "-n", names[-1], "-o", "yaml"), PATIENCE)
        assert _series(stack) - before < len(names)
    finally:
        stack.cluster.kubectl("delete", "namespace", "--wait=false", *names)


def _series(stack: Stack) -> int:
    return sum(1 for line in stack.metrics().splitlines() if not line.startswith("#"))
