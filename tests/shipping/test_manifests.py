"""The manifests: what kustomize makes of them, as the API server judges it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from controller import __version__
from devcluster import ControlPlane, binaries
from devcluster.paths import REPOSITORY
from tests.shipping import skaffold

MANIFESTS = REPOSITORY / "manifests"
OVERLAYS = sorted(path.name for path in (MANIFESTS / "overlays").iterdir())
COMPONENTS = sorted(path.name for path in (MANIFESTS / "components").iterdir())
SKAFFOLD_PROFILES = [None, "release"]
OPERATOR_KINDS = {"ServiceMonitor": "servicemonitors", "PrometheusRule": "prometheusrules"}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> Iterator[ControlPlane]:
    """With our namespace (as strict as base makes it), and the Prometheus Operator's kinds."""
    namespace = (MANIFESTS / "base" / "namespace.yaml").read_text()
    operator = yaml.safe_dump_all(foreign_kind(kind, plural) for kind, plural in OPERATOR_KINDS.items())
    for text in (namespace, operator):
        control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)
    control_plane.kubectl("wait", "--for=condition=Established", "-f", "-", stdin=operator)
    yield control_plane
    control_plane.kubectl("delete", "-f", "-", stdin=operator)


def foreign_kind(kind: str, plural: str) -> dict[str, Any]:
    """Somebody else's CRD, as far as it takes to accept an object."""
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "names": names,
            "scope": "Namespaced",
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def rendered(cluster: ControlPlane, folder: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(cluster.kubectl("kustomize", str(folder))))


def of_kind(objects: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(item for item in objects if item["kind"] == kind)


def pod(deployment: dict[str, Any], namespace: str) -> str:
    template = deployment["spec"]["template"]
    spec = template["spec"] | {"serviceAccountName": "default"}
    metadata = {"name": "controller", "namespace": namespace}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})


@pytest.mark.parametrize("name", ["base", *(f"overlays/{name}" for name in OVERLAYS)])
def test_api_server_accepts_it_without_a_warning(cluster: ControlPlane, name: str) -> None:
    for how in ((), ("--server-side", "--force-conflicts")):
        done = subprocess.run(
            [
                binaries.path("kubectl"),
                "--kubeconfig",
                cluster.kubeconfig,
                "apply",
                "--dry-run=server",
                *how,
                "-k",
                MANIFESTS / name,
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        warnings = [line for line in done.stderr.splitlines() if "last-applied-configuration" not in line]
        if "local-socket" not in name and "dev" not in name:  # whose hostPath is why their namespace is `privileged`
            assert warnings == []


@pytest.mark.parametrize("name", COMPONENTS)
def test_components_join_an_overlay(cluster: ControlPlane, name: str, tmp_path: Path) -> None:
    overlay, component = (
        os.path.relpath(MANIFESTS / path, tmp_path.resolve()) for path in ("base", f"components/{name}")
    )
    text = yaml.safe_dump({"resources": [overlay], "components": [component]})
    (tmp_path / "kustomization.yaml").write_text(text)
    cluster.kubectl("apply", "--dry-run=server", "-k", str(tmp_path))


def test_crds_are_applied_by_folder_and_by_kustomization(cluster: ControlPlane) -> None:
    by_file = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "-o", "name", "-f", str(REPOSITORY / "crds")
    )
    by_kustomize = cluster.kubectl(
        "apply", "--server-side", "--dry-run=server", "-o", "name", "-k", str(REPOSITORY / "crds")
    )
    assert sorted(by_file.splitlines()) == sorted(by_kustomize.splitlines())
    assert len(by_file.splitlines()) == 3


def test_samples_are_accepted(cluster: ControlPlane) -> None:
    cluster.kubectl("apply", "--dry-run=server", "-f", str(MANIFESTS / "samples"))


def test_image_is_that_of_this_version(cluster: ControlPlane) -> None:
    deployment = of_kind(rendered(cluster, MANIFESTS / "base"), "Deployment")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == f"workspace-controller:{__version__}"


@pytest.mark.parametrize("name", ["base", "overlays/remote-tls"])
def test_pods_are_admitted_where_pod_security_is_restricted(cluster: ControlPlane, name: str) -> None:
    objects = rendered(cluster, MANIFESTS / name)
    labels = of_kind(objects, "Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    text = pod(of_kind(objects, "Deployment"), "workspace-system")
    cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)


def test_socket_overlay_asks_for_the_socket_only(cluster: ControlPlane, namespace: str) -> None:
    objects = rendered(cluster, MANIFESTS / "overlays" / "local-socket")
    deployment = of_kind(objects, "Deployment")
    cluster.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    text = pod(deployment, namespace)
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=text)
    assert "".join(refused.value.__notes__).count("restricted volume types") == 1
    assert "must set" not in "".join(refused.value.__notes__)


def test_replicas_are_two_and_one_may_be_evicted_at_a_time(cluster: ControlPlane) -> None:
    objects = rendered(cluster, MANIFESTS / "base")
    spec = of_kind(objects, "Deployment")["spec"]
    assert spec["replicas"] == 2
    assert "--leader-elect" in spec["template"]["spec"]["containers"][0]["args"]
    budget = of_kind(objects, "PodDisruptionBudget")["spec"]
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == spec["selector"]


@pytest.mark.parametrize("profile", SKAFFOLD_PROFILES)
def test_skaffold_names_what_exists(cluster: ControlPlane, profile: str | None) -> None:
    config = skaffold.config(profile)
    artifact = config["build"]["artifacts"][0]
    stages = [
        line.split()[-1] for line in (REPOSITORY / "Dockerfile").read_text().splitlines() if line.startswith("FROM")
    ]
    assert artifact["docker"].get("target", stages[-1]) in stages
    deployed = skaffold_deploys(cluster, config)
    images = [
        container["image"].split(":")[0]
        for item in deployed
        if item["kind"] == "Deployment"
        for container in item["spec"]["template"]["spec"]["containers"]
    ]
    assert images == [artifact["image"]]
    job = config["verify"][0]["executionMode"]["kubernetesCluster"]["jobManifestPath"]
    cluster.kubectl("apply", "--dry-run=server", "-f", str(REPOSITORY / job))


@pytest.mark.parametrize("profile", SKAFFOLD_PROFILES)
def test_skaffold_verifies_what_it_deploys(cluster: ControlPlane, profile: str | None) -> None:
    config = skaffold.config(profile)
    deployed = {
        (item["metadata"].get("namespace"), item["metadata"]["name"])
        for item in skaffold_deploys(cluster, config)
        if item["kind"] == "Workspace"
    }
    _, verb, name, *options = config["verify"][0]["container"]["command"]
    assert verb == "start"
    assert (options[options.index("--namespace") + 1], name) in deployed


@pytest.mark.parametrize("profile", SKAFFOLD_PROFILES)
def test_skaffold_file_is_valid_against_the_published_schema(profile: str | None) -> None:
    whole = yaml.safe_load(skaffold.CONFIG.read_text())
    judge = jsonschema.Draft7Validator(skaffold.schema(whole["apiVersion"]))
    for config in (whole, skaffold.config(profile)):
        assert [f"{error.json_path}: {error.message}" for error in judge.iter_errors(config)] == []
    assert not judge.is_valid(whole | {"deploys": {}})


def test_skaffold_profiles_are_all_looked_at() -> None:
    whole = yaml.safe_load(skaffold.CONFIG.read_text())
    assert [None, *(profile["name"] for profile in whole["profiles"])] == SKAFFOLD_PROFILES


def skaffold_deploys(cluster: ControlPlane, config: dict[str, Any]) -> list[dict[str, Any]]:
    """All that a configuration sends to the cluster."""
    return [item for path in config["manifests"]["kustomize"]["paths"] for item in rendered(cluster, REPOSITORY / path)]
