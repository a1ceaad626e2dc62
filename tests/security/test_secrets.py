"""A secret's value must be in the container it was asked for, and nowhere else."""

import base64
import json
import subprocess
import urllib.parse
from collections.abc import Iterator
from typing import Any

import pytest
from lightkube import KubeConfig

from controller.errors import ReferenceForbidden
from controller.kube import Kube
from tests.security.registry import Registry
from tests.security.stack import PATIENCE, SYSTEM, Stack, Tenant
from tests.waiting import eventually

pytestmark = pytest.mark.threat("secrets leaking")

CANARY = "canary-5d41402abc4b"


def _in_base64(text: str) -> tuple[str, ...]:
    """What stays the same of it in base64, at each of three offsets, whatever stands around it: credentials are encoded
    as `user:password`, and once more as JSON."""
    encoded = [base64.b64encode(b" " * offset + text.encode()).decode().rstrip("=") for offset in range(3)]
    whole = [4 * (offset + len(text)) // 3 for offset in range(3)]  # characters that nothing behind it has a part in
    return tuple(code[-(-4 * offset // 3) : end] for offset, (code, end) in enumerate(zip(encoded, whole, strict=True)))


FORMS = (CANARY, *_in_base64(CANARY), urllib.parse.quote(CANARY), CANARY[::-1])
FROM_SECRET = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "canary", "key": "token"}}}
DOCKER_CONFIG = "kubernetes.io/dockerconfigjson"


def test_the_canary_is_found_in_registry_credentials() -> None:
    auth = base64.b64encode(f"canary:{CANARY}".encode()).decode()
    header = base64.urlsafe_b64encode(json.dumps({"username": "canary", "password": CANARY}).encode()).decode()
    both = base64.b64encode(json.dumps({"auths": {"registry": {"auth": auth}}}).encode()).decode()
    assert all(any(form in text for form in FORMS) for text in (auth, header))
    assert any(form in both for form in _in_base64(auth))


async def test_what_we_have_no_right_to_read_is_named_and_never_taken_for_absent(stack: Stack, alice: Tenant) -> None:
    kube = Kube(KubeConfig.from_file(str(alice.kubeconfig)))
    try:
        with pytest.raises(ReferenceForbidden, match="'canary' in namespace 'team-b'") as refusal:
            await kube.data("Secret", "team-b", "canary")
    finally:
        await kube.close()
    assert refusal.value.reason == "SecretForbidden"


@pytest.fixture
def canary(stack: Stack, alice: Tenant) -> Iterator[Tenant]:
    """A tenant with the canary in a Secret; at the end it must have stayed there and in containers."""
    alice.secret("canary", {"token": CANARY, "nul": f"{CANARY}\0", "line": f"{CANARY}\n{CANARY}"})
    yield alice
    _assert_nowhere(stack)


def _assert_nowhere(stack: Stack) -> None:
    for place, text in _everything(stack):
        for form in FORMS:
            assert form not in text, f"the canary is in {place}"


def _everything(stack: Stack) -> Iterator[tuple[str, str]]:
    """All that others can read: every object but Secrets, logs, metrics, names and labels on the host."""
    kinds = "workspaces,workspaceoperations,dockerhosts,events,configmaps,leases,namespaces"
    yield "the API", stack.cluster.kubectl("get", kinds, "-A", "-o", "yaml", "--show-managed-fields")
    yield "the controller's log", stack.controller.output()
    yield "the metrics", stack.metrics()
    if stack.controller.pid:
        with open(f"/proc/{stack.controller.pid}/cmdline") as arguments:
            yield "the controller's arguments", arguments.read()
    yield "the host's lists", stack.engine.docker("ps", "-a", "--no-trunc", "--format", "{{json .}}")
    for box in stack.containers("team-a"):
        visible = {"labels": box["Config"]["Labels"], "name": box["Name"], "error": box["State"]["Error"]}
        visible |= {"command": [box["Path"], *box["Args"]], "health": box["Config"].get("Healthcheck")}
        yield "what is beside the environment", json.dumps(visible)


def _fails(tenant: Tenant, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    tenant.apply(name, spec)
    return eventually(lambda: tenant.status(name)["lastError"], PATIENCE)


def test_a_running_container_alone_has_the_value(stack: Stack, canary: Tenant) -> None:
    box = stack.start(canary, "holder", {"env": [FROM_SECRET]})
    assert stack.execute(box, "sh", "-c", 'echo "$TOKEN"')[1].strip() == CANARY


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "127.0.0.1:9/no/such:image"},
        {"image": "no-such-image-anywhere:1", "imagePullPolicy": "Never"},
        {"command": ["/no/such/program"]},
        {"command": ["/etc/passwd"]},
        {"workingDir": "/etc/passwd"},
        {"projectPath": "/etc"},
        {"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}},
        {"host": "no-such-host"},
        {"imagePullSecrets": [{"name": "canary"}]},
        {"volumes": [{"name": "a", "mountPath": "/etc/passwd/x"}]},
        {"livenessProbe": {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}},
        {"command": ["false"], "recovery": {"maxRetries": 0}},
        {"resources": {"limits": {"memory": "6Mi"}}, "command": ["tail", "/dev/zero"], "recovery": {"maxRetries": 0}},
    ],
    ids=str,
)
def test_an_error_of_any_kind_shows_no_value(stack: Stack, canary: Tenant, spec: dict[str, Any]) -> None:
    canary.apply("failing", {"env": [FROM_SECRET]} | spec)
    eventually(lambda: {"lastError", "lastTermination"} & set(canary.status("failing")), PATIENCE)


@pytest.mark.parametrize("key", ["nul", "no-such-key"])
def test_a_value_that_is_no_variable_is_refused_unseen(stack: Stack, canary: Tenant, key: str) -> None:
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "canary", "key": key}}}
    error = _fails(canary, "no-variable", {"env": [FROM_SECRET | {"name": "OTHER"}, variable]})
    assert error["class"] == "Configuration"
    assert stack.containers("team-a", "no-variable") == []


def test_a_value_of_two_lines_reaches_the_container_alone(stack: Stack, canary: Tenant) -> None:
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "canary", "key": "line"}}}
    box = stack.start(canary, "lines", {"env": [variable]})
    assert stack.execute(box, "sh", "-c", 'echo "$TOKEN"')[1].split() == [CANARY, CANARY]


@pytest.mark.parametrize("broken", ["not-json", "not-base64", "wrong-shape", "wrong-password"])
def test_registry_credentials_show_up_nowhere(stack: Stack, canary: Tenant, registry: Registry, broken: str) -> None:
    auth = base64.b64encode(f"{CANARY}:{CANARY}".encode()).decode()
    configs = {
        "not-json": f"{CANARY}{{",
        "not-base64": json.dumps({"auths": {registry.address: {"auth": f"!{CANARY}"}}}),
        "wrong-shape": json.dumps({"auths": {registry.address: [CANARY]}}),
        "wrong-password": json.dumps({"auths": {registry.address: {"auth": auth}}}),
    }
    name = f"credentials-{broken}"
    kind = "Opaque" if broken == "not-json" else DOCKER_CONFIG  # the API server checks the type's own syntax
    canary.secret(name, {".dockerconfigjson": configs[broken]}, kind)
    spec = {"image": f"{registry.address}/private/app:1", "imagePullSecrets": [{"name": name}]}
    error = _fails(canary, name, spec)
    assert error["class"] in ("Image", "Configuration", "Network")
    assert stack.containers("team-a", name) == []


@pytest.fixture(scope="module")
def registry(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry in the network of the shared engine."""
    started = Registry(stack.engine, tmp_path_factory.mktemp("registry"))
    started.start()
    yield started
    started.stop()


def test_a_changed_secret_is_told_by_name_alone(stack: Stack, canary: Tenant) -> None:
    stack.start(canary, "changed", {"env": [FROM_SECRET]})
    canary.secret("canary", {"token": f"{CANARY}-changed", "nul": "x", "line": "x"})
    canary.kubectl("annotate", "workspace", "changed", "aicli.dev/restartedAt=now")
    eventually(lambda: _printed(stack, canary) == f"{CANARY}-changed", PATIENCE)


def _printed(stack: Stack, tenant: Tenant) -> str:
    return stack.execute(stack.running(tenant, "changed"), "sh", "-c", 'echo "$TOKEN"')[1].strip()


@pytest.mark.parametrize("kind", ["secretKeyRef", "configMapKeyRef"])
def test_a_reference_never_crosses_a_namespace(stack: Stack, canary: Tenant, bob: Tenant, kind: str) -> None:
    for reference in ({"namespace": "team-a"}, {}):
        source = {kind: {"name": "canary", "key": "token"} | reference}
        spec = {"env": [{"name": "TOKEN", "valueFrom": source}]}
        message = stack.refusal(bob, "thief", spec)
        assert "namespace" in message or "canary" in message
    for name in ("team-a/canary", "../team-a/secrets/canary", "canary?namespace=team-a"):
        source = {kind: {"name": name, "key": "token"}}
        assert "name" in stack.refusal(bob, "thief", {"env": [{"name": "TOKEN", "valueFrom": source}]})


def test_secrets_of_the_controllers_namespace_can_not_be_named(stack: Stack, canary: Tenant) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hosts-key", "namespace": SYSTEM}}
    stack.cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body | {"stringData": {"token": CANARY}}))
    source = {"secretKeyRef": {"name": "hosts-key", "key": "token"}}
    message = stack.refusal(canary, "thief", {"env": [{"name": "TOKEN", "valueFrom": source}]})
    assert "hosts-key" in message


def test_a_value_in_the_wrong_field_is_not_repeated(stack: Stack, canary: Tenant) -> None:
    """The API server's own answer goes to who asked; ours must not go to others."""
    with pytest.raises(subprocess.CalledProcessError):
        canary.apply("wrong", {"env": [{"name": "TOKEN", "value": {"nested": CANARY}}]})
