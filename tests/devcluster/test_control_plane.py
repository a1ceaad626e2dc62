"""The embedded control plane is a real one, and its parts can be broken one by one."""

import json
import subprocess
from collections.abc import Callable

import pytest

from devcluster import ControlPlane
from tests.conftest import Kubectl
from tests.waiting import eventually


def test_namespaces_get_their_service_account_and_end(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", "short-lived")
    eventually(lambda: kubectl("get", "serviceaccount", "default", "-n", "short-lived"))
    kubectl("delete", "namespace", "short-lived", "--timeout=60s")


def test_rights_are_those_that_were_granted(control_plane: ControlPlane, namespace: str) -> None:
    alice = str(control_plane.user_kubeconfig("alice", ["developers"]))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        control_plane.kubectl("--kubeconfig", alice, "get", "configmaps", "-n", namespace)
    assert 'User "alice" cannot list' in refused.value.stderr
    control_plane.kubectl("create", "rolebinding", "view", "--clusterrole=view", "--group=developers", "-n", namespace)
    eventually(lambda: control_plane.kubectl("--kubeconfig", alice, "get", "configmaps", "-n", namespace))


def test_a_service_account_logs_in_with_a_token(control_plane: ControlPlane, namespace: str) -> None:
    control_plane.kubectl("create", "serviceaccount", "robot", "-n", namespace)
    token = str(control_plane.service_account_kubeconfig(namespace, "robot"))
    name = control_plane.kubectl("--kubeconfig", token, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")
    assert name == f"system:serviceaccount:{namespace}:robot"


def test_quotas_are_enforced(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "quota", "none", "--hard=count/secrets=0", "-n", namespace)
    used = ("get", "quota", "none", "-n", namespace, "-o", "jsonpath={.status.used}")
    eventually(lambda: "secrets" in kubectl(*used))
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl("create", "secret", "generic", "one-too-many", "-n", namespace)
    assert "exceeded quota" in refused.value.stderr


def test_data_and_kubeconfig_outlive_a_crash_of_everything(new_control_plane: Callable[..., ControlPlane]) -> None:
    cluster = new_control_plane()
    cluster.kubectl("create", "configmap", "kept")
    before = cluster.kubeconfig.read_text()
    cluster.kill()
    again = ControlPlane(cluster.directory, fsync=False)
    again.start()
    assert again.kubectl("get", "configmap", "kept", "-o", "name") == "configmap/kept\n"
    assert again.kubeconfig.read_text() == before


def test_an_old_watch_is_gone_after_compaction(new_control_plane: Callable[..., ControlPlane]) -> None:
    cluster = new_control_plane(apiserver_args=["--watch-cache=false"])
    old = json.loads(cluster.kubectl("get", "--raw", "/api/v1/configmaps?limit=1"))["metadata"]["resourceVersion"]
    for name in ("later", "latest"):
        cluster.kubectl("create", "configmap", name)
    cluster.compact()
    answer = cluster.kubectl("get", "--raw", f"/api/v1/configmaps?watch=1&timeoutSeconds=5&resourceVersion={old}")
    assert json.loads(answer)["object"]["code"] == 410
