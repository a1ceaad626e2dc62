"""A tenant, or somebody who holds the controller's token, wants more rights."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, binaries
from devcluster.paths import REPOSITORY
from tests.security.api import Api
from tests.security.stack import API, PATIENCE, SERVICE_ACCOUNT, SYSTEM, Stack
from tests.waiting import eventually

rights = pytest.mark.threat("controller's rights")
other_host = pytest.mark.threat("another tenant's host")
identity = pytest.mark.threat("identity")

CONTROLLER = f"system:serviceaccount:{SYSTEM}:{SERVICE_ACCOUNT}"
ALL_VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
ALLOWED = {
    "workspaces.aicli.dev": {"get", "list", "watch", "patch", "delete"},
    "workspaceoperations.aicli.dev": {"get", "list", "watch", "delete"},
    "dockerhosts.aicli.dev": {"get", "list", "watch", "patch"},
    "workspaces.aicli.dev/status": {"patch"},
    "workspaceoperations.aicli.dev/status": {"patch"},
    "dockerhosts.aicli.dev/status": {"patch"},
    "workspaces.aicli.dev/finalizers": {"update"},
    "secrets": {"get"},
    "configmaps": {"get"},
    "namespaces": {"get", "list"},
    "events": {"create", "patch"},
    "leases.coordination.k8s.io": set(),
    "pods": set(),
    "pods/exec": set(),
    "nodes": set(),
    "serviceaccounts": set(),
    "serviceaccounts/token": set(),
    "roles.rbac.authorization.k8s.io": set(),
    "rolebindings.rbac.authorization.k8s.io": set(),
    "clusterroles.rbac.authorization.k8s.io": set(),
    "clusterrolebindings.rbac.authorization.k8s.io": set(),
    "customresourcedefinitions.apiextensions.k8s.io": set(),
    "deployments.apps": set(),
    "certificatesigningrequests.certificates.k8s.io": set(),
    "validatingadmissionpolicies.admissionregistration.k8s.io": set(),
    "*": set(),
}


def _may(cluster: ControlPlane, user: str, verb: str, resource: str, namespace: str = "", which: str = "") -> bool:
    """What `kubectl auth can-i VERB RESOURCE --as=USER` asks, without a process for each of some hundred questions."""
    resource, _, subresource = resource.partition("/")
    name, _, group = resource.partition(".")
    groups = [f"system:serviceaccounts:{SYSTEM}", "system:serviceaccounts"] if user == CONTROLLER else []
    asked = {"verb": verb, "resource": name, "group": group, "subresource": subresource, "namespace": namespace}
    asked |= {"name": which} if which else {}
    spec = {"user": user, "groups": ["system:authenticated", *groups], "resourceAttributes": asked}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
    return bool(Api(cluster.kubeconfig).request("POST", path, body)["status"]["allowed"])


@rights
@pytest.mark.parametrize("resource", sorted(ALLOWED))
def test_the_controller_may_do_what_it_uses_and_nothing_else(secure_cluster: ControlPlane, resource: str) -> None:
    may = {verb for verb in ALL_VERBS if _may(secure_cluster, CONTROLLER, verb, resource, "team-a")}
    assert may == ALLOWED[resource]


@rights
@pytest.mark.parametrize("verb", ["impersonate", "escalate", "bind", "approve", "sign", "use", "*"])
def test_the_controller_has_no_special_verb(secure_cluster: ControlPlane, verb: str) -> None:
    for resource in ("users", "serviceaccounts", "clusterroles.rbac.authorization.k8s.io", "secrets"):
        assert not _may(secure_cluster, CONTROLLER, verb, resource)


@rights
def test_its_lease_is_the_only_thing_it_writes_in_its_own_namespace(secure_cluster: ControlPlane) -> None:
    lease = "leases.coordination.k8s.io"
    assert {v for v in ALL_VERBS if _may(secure_cluster, CONTROLLER, v, lease, SYSTEM)} == {"create"}
    its_own = {v for v in ALL_VERBS if _may(secure_cluster, CONTROLLER, v, lease, SYSTEM, "workspace-controller")}
    assert its_own == {"get", "create", "update"}
    for verb in ("create", "update", "patch", "delete", "list", "watch"):
        assert not _may(secure_cluster, CONTROLLER, verb, "secrets", SYSTEM)


@rights
@pytest.mark.parametrize("question", ["list secrets", "watch secrets", "create pods", "* *", "delete namespaces"])
def test_kubectl_says_no_to_the_controllers_token(secure_cluster: ControlPlane, question: str) -> None:
    config = secure_cluster.service_account_kubeconfig(SYSTEM, SERVICE_ACCOUNT)
    command = [str(binaries.path("kubectl")), "--kubeconfig", str(config), "auth", "can-i", *question.split(), "-A"]
    assert subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() == "no"


@rights
def test_with_its_token_secrets_can_not_be_listed(secure_cluster: ControlPlane) -> None:
    config = secure_cluster.service_account_kubeconfig(SYSTEM, SERVICE_ACCOUNT)
    command = [str(binaries.path("kubectl")), "--kubeconfig", str(config), "get", "secrets", "--all-namespaces"]
    assert "Forbidden" in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@rights
def test_the_manifests_hold_no_wildcard(secure_cluster: ControlPlane) -> None:
    for name in ("workspace-controller", "workspace-viewer", "workspace-editor", "dockerhost-admin"):
        role = json.loads(secure_cluster.kubectl("get", "clusterrole", name, "-o", "json"))
        for rule in role["rules"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]


@rights
@pytest.mark.parametrize(
    ("role", "verb", "resource", "allowed"),
    [
        ("view", "get", "workspaces.aicli.dev", True),
        ("view", "list", "workspaceoperations.aicli.dev", True),
        ("view", "create", "workspaces.aicli.dev", False),
        ("view", "patch", "workspaces.aicli.dev", False),
        ("view", "delete", "workspaces.aicli.dev", False),
        ("view", "create", "workspaceoperations.aicli.dev", False),
        ("edit", "create", "workspaces.aicli.dev", True),
        ("edit", "patch", "workspaces.aicli.dev", True),
        ("edit", "delete", "workspaces.aicli.dev", True),
        ("edit", "create", "workspaceoperations.aicli.dev", True),
        ("edit", "patch", "workspaces.aicli.dev/status", False),
        ("edit", "update", "workspaces.aicli.dev/status", False),
        ("edit", "update", "workspaces.aicli.dev/finalizers", False),
        ("edit", "patch", "workspaceoperations.aicli.dev/status", False),
        ("edit", "get", "dockerhosts.aicli.dev", False),
        ("edit", "create", "dockerhosts.aicli.dev", False),
        ("admin", "patch", "workspaces.aicli.dev", True),
        ("admin", "patch", "workspaces.aicli.dev/status", False),
        ("admin", "patch", "dockerhosts.aicli.dev", False),
    ],
)
def test_people_get_what_kubernetes_own_roles_say(
    user_of_role: Callable[[str], str], secure_cluster: ControlPlane, role: str, verb: str, resource: str, allowed: bool
) -> None:
    assert _may(secure_cluster, user_of_role(role), verb, resource, "roles") is allowed
    assert not _may(secure_cluster, user_of_role(role), verb, resource, "default")


@pytest.fixture(scope="module")
def user_of_role(secure_cluster: ControlPlane) -> Callable[[str], str]:
    """A user who has one of Kubernetes' roles in the namespace `roles`."""
    secure_cluster.kubectl("create", "namespace", "roles")
    for role in ("view", "edit", "admin"):
        secure_cluster.kubectl("create", "rolebinding", role, "-n=roles", f"--clusterrole={role}", f"--user=has-{role}")
        eventually(
            lambda role=role: _may(secure_cluster, f"has-{role}", "get", "workspaces.aicli.dev", "roles"), PATIENCE
        )
    return lambda role: f"has-{role}"


@other_host
@pytest.mark.parametrize("verb", ["get", "create", "patch", "delete"])
def test_a_tenant_has_no_say_on_hosts(stack: Stack, verb: str) -> None:
    spec = {"endpoint": stack.engine.endpoint, "policy": {"projectPaths": ["/srv/*"]}}
    body = {"apiVersion": API, "kind": "DockerHost", "metadata": {"name": "mine"}, "spec": spec}
    commands = {
        "create": ["create", "-f", "-"],
        "patch": ["patch", "dockerhost", "default", "--type=merge", "-p", '{"spec":{"policy":{}}}'],
    }
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        stack.alice.kubectl(*commands.get(verb, [verb, "dockerhost", "default"]), stdin=json.dumps(body))
    assert "orbidden" in refusal.value.stderr


@rights
@pytest.mark.parametrize("operation", ["Stop", "Start", "Restart", "Delete"])
def test_the_controller_is_no_way_around_missing_rights(
    admission: ControlPlane, tmp_path: Path, operation: str
) -> None:
    """Who may make WorkspaceOperations, but not change Workspaces, doesn't change them by an operation."""
    body = {"apiVersion": API, "kind": "WorkspaceOperation", "metadata": {"name": "x", "namespace": "operators"}}
    spec = {"spec": {"operation": operation, "selector": {}}}
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        admission.kubectl("create", "--as=only-operations", "-f", "-", stdin=json.dumps(body | spec))
    assert "needs the right to" in refusal.value.stderr
    body["metadata"] = {"generateName": "x-", "namespace": "operators"}
    admission.kubectl("create", "--as=both", "-f", "-", stdin=json.dumps(body | spec))


@pytest.fixture(scope="module")
def admission(secure_cluster: ControlPlane) -> Iterator[ControlPlane]:
    """The control plane with the admission policies, which other tests go without: they attack the controller."""
    manifests = str(REPOSITORY / "manifests" / "admission")
    secure_cluster.kubectl("apply", "-k", manifests)
    secure_cluster.kubectl("create", "namespace", "operators")
    operations = ["--verb=create", "--resource=workspaceoperations.aicli.dev"]
    secure_cluster.kubectl("create", "role", "operations", "-n=operators", *operations)
    workspaces = ["--verb=get,patch,delete", "--resource=workspaces.aicli.dev"]
    secure_cluster.kubectl("create", "role", "workspaces", "-n=operators", *workspaces)
    users = {"operations": ["--user=only-operations", "--user=both"], "workspaces": ["--user=both"]}
    for role, names in users.items():
        secure_cluster.kubectl("create", "rolebinding", role, "-n=operators", f"--role={role}", *names)
    for host, namespace in (("early", "oper*rs"), ("elsewhere", "else*")):
        policy = {"namespaces": {"matchNames": [namespace]}, "maxResources": {"cpu": "2", "memory": "1Gi", "pids": 99}}
        spec = {"endpoint": f"unix:///run/nowhere-{host}.sock", "policy": policy}
        body = {"apiVersion": API, "kind": "DockerHost", "metadata": {"name": host}, "spec": spec}
        secure_cluster.kubectl("apply", "-f", "-", stdin=json.dumps(body))
    eventually(lambda: _denies_operations(secure_cluster), PATIENCE)
    yield secure_cluster
    secure_cluster.kubectl("delete", "-k", manifests)
    secure_cluster.kubectl("delete", "dockerhosts", "early", "elsewhere", "--wait=false")
    secure_cluster.kubectl("delete", "namespace", "operators", "--wait=false")


def _denies_operations(cluster: ControlPlane) -> bool:
    """A policy takes a moment to be in force."""
    body = {"apiVersion": API, "kind": "WorkspaceOperation", "metadata": {"name": "probe", "namespace": "operators"}}
    spec = {"spec": {"operation": "Stop", "selector": {}}}
    try:
        command = ["create", "--dry-run=server", "--as=only-operations", "-f", "-"]
        cluster.kubectl(*command, stdin=json.dumps(body | spec))
    except subprocess.CalledProcessError as error:
        return "needs the right to" in str(error.stderr)
    return False


@identity
def test_a_tenant_can_not_take_the_finalizer_away(admission: ControlPlane) -> None:
    """Else the Workspace would be gone before its container."""
    _workspace(admission, "kept", {"desiredState": "Stopped", "host": "nowhere"}, finalizers=["aicli.dev/container"])
    patch = '{"metadata":{"finalizers":null}}'
    with pytest.raises(subprocess.CalledProcessError) as refusal:
        admission.kubectl("patch", "ws", "kept", "-n=operators", "--as=both", "--type=merge", "-p", patch)
    assert "aicli.dev/abandon" in refusal.value.stderr
    admission.kubectl("patch", "ws", "kept", "-n=operators", f"--as={CONTROLLER}", "--type=merge", "-p", patch)


def _early(row: str, field: str, **spec: object) -> object:
    return pytest.param({"host": "early"} | spec, field, marks=pytest.mark.threat(row), id=field)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        _early("another tenant's host", "metadata.namespace", host="elsewhere"),
        _early("host path escape", "spec.projectPath", projectPath="/srv/other/x"),
        _early("exhaustion", "spec.resources.limits.cpu", resources={"limits": {"cpu": 3}}),
        _early("exhaustion", "spec.resources.limits.memory", resources={"limits": {"memory": "9Gi"}}),
        _early("exhaustion", "spec.resources.limits.pids", resources={"limits": {"pids": 9999}}),
        _early("capabilities", "capabilities.add", securityContext={"capabilities": {"add": ["BPF"]}}),
        _early("setuid escalation", "allowPrivilegeEscalation", securityContext={"allowPrivilegeEscalation": True}),
    ],
)
def test_the_policy_is_said_at_admission_too(admission: ControlPlane, spec: dict[str, object], field: str) -> None:
    eventually(lambda: field in _refusal(admission, spec), PATIENCE)


@pytest.mark.threat("another tenant's host")
def test_who_the_policy_lets_in_is_let_in_at_admission_too(admission: ControlPlane) -> None:
    assert _refusal(admission, {"host": "early"}) == ""


def _refusal(cluster: ControlPlane, spec: dict[str, object]) -> str:
    try:
        _workspace(cluster, "early", spec, "--dry-run=server")
    except subprocess.CalledProcessError as error:
        return str(error.stderr)
    return ""


def _workspace(cluster: ControlPlane, name: str, spec: dict[str, object], *options: str, **metadata: object) -> None:
    meta = {"name": name, "namespace": "operators"} | metadata
    body = {"apiVersion": API, "kind": "Workspace", "metadata": meta, "spec": spec}
    cluster.kubectl("apply", *options, "-f", "-", stdin=json.dumps(body))
