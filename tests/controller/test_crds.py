"""The CRDs in a real API server say the same as `validate()` does offline, for each object and each change."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from controller.api import API_VERSION
from controller.api.crd import KINDS
from devcluster import ControlPlane
from tests.conftest import Kubectl
from tests.controller.apiserver import STRICT, Api, collection, create, created
from tests.unit.api.cases import CASES, CHANGES
from tests.unit.api.objects import FULL, Case, Change, docker_host, operation, workspace


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API server, as administrator."""
    with Api(control_plane.kubeconfig, tmp_path_factory.mktemp("api")) as session:
        yield session


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_the_api_server_agrees_with_offline_validation(api: Api, case: Case) -> None:
    response = create(api, case.obj, "default", dryRun="All")
    if case.refused_at is None:
        assert response.status_code == 201, response.text
    else:
        assert response.status_code in (400, 422), response.text
        assert case.refused_at.removesuffix("]").split("[")[0] in response.json()["message"]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.words)
def test_the_api_server_agrees_on_what_is_immutable(api: Api, namespace: str, change: Change) -> None:
    name = f"{namespace}-change"
    stored = created(api, {**change.old, "metadata": {"name": name}}, namespace)
    metadata = {"name": name, "resourceVersion": stored["metadata"]["resourceVersion"]}
    url = f"{collection(change.new, namespace)}/{name}"
    response = api.put(url, data=json.dumps({**change.new, "metadata": metadata}), params=STRICT | {"dryRun": "All"})
    api.delete(url)
    assert response.status_code == (200 if change.refused_at is None else 422), response.text
    assert (change.refused_at or "") in response.text


@pytest.mark.parametrize("obj", [FULL, docker_host(), operation()], ids=lambda obj: obj["kind"])
def test_a_new_object_has_a_status_that_is_not_current(api: Api, namespace: str, obj: dict[str, Any]) -> None:
    name = f"{namespace}-new"
    created(api, {**obj, "metadata": {"name": name}}, namespace)
    url = f"{collection(obj, namespace)}/{name}"
    stored = api.get(url).json()
    api.delete(url)
    assert stored["status"]["observedGeneration"] == -1
    assert stored["metadata"]["generation"] == 1


def test_defaults_are_as_the_models_have_them(api: Api) -> None:
    for kind, obj in zip(KINDS, (workspace(), docker_host(), operation()), strict=True):
        stored = created(api, obj, "default", dryRun="All")
        assert kind.model.model_validate(stored).spec == kind.model.model_validate(obj).spec  # type: ignore[attr-defined]


def test_list_items_get_no_defaults_that_git_does_not_have(api: Api) -> None:
    stored = created(api, FULL, "default", dryRun="All")
    for field in ("env", "envFrom", "ports", "volumes", "imagePullSecrets"):
        assert stored["spec"][field] == FULL["spec"][field]


def test_diff_is_empty_after_apply(kubectl: Kubectl, namespace: str) -> None:
    manifest = yaml.safe_dump(FULL, allow_unicode=True)
    kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)
    assert kubectl("diff", "-n", namespace, "-f", "-", stdin=manifest) == ""
    assert "unchanged" in kubectl("apply", "-n", namespace, "-f", "-", stdin=manifest)


def test_two_managers_own_items_of_one_list_without_conflict(kubectl: Kubectl, namespace: str) -> None:
    for manager, port in (("one", 1), ("two", 2)):
        manifest = workspace(
            env=[{"name": manager, "value": "a"}],
            ports=[{"name": manager, "containerPort": port}],
            volumes=[{"name": manager, "mountPath": f"/{manager}"}],
            imagePullSecrets=[{"name": manager}],
        )
        arguments = ("apply", "--server-side", f"--field-manager={manager}", "-n", namespace, "-f", "-")
        kubectl(*arguments, stdin=yaml.safe_dump(manifest))
    spec = yaml.safe_load(kubectl("get", "ws", "case", "-n", namespace, "-o", "yaml"))["spec"]
    for field in ("env", "ports", "volumes", "imagePullSecrets"):
        assert [item["name"] for item in spec[field]] == ["one", "two"]


def test_explain_describes_every_field(kubectl: Kubectl) -> None:
    for kind in KINDS:
        text = kubectl("explain", "--recursive=false", f"{kind.plural}.spec")
        assert "<no description>" not in text
    assert "Default: 10" in kubectl("explain", "workspace.spec.terminationGracePeriodSeconds")


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("ws", "NAME STATE READY REASON IMAGE HOST RESTARTS UPTIME AGE CONTAINER_ID OWNER PROJECT MESSAGE"),
        ("dh", "NAME READY REASON ENDPOINT ENGINE WORKSPACES RUNNING AGE API LAST_CONTACT MESSAGE"),
        ("wsop", "NAME OPERATION PROGRESS FAILED STATE AGE"),
    ],
)
def test_get_prints_the_columns_of_a_kind(api: Api, name: str, columns: str) -> None:
    kind = next(kind for kind in KINDS if name in kind.short_names)
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    table = api.get(f"/apis/{API_VERSION}/{kind.plural}", headers=accept).json()
    printed = [column["name"].upper().replace(" ", "_") for column in table["columnDefinitions"]]
    assert " ".join(printed) == columns


def test_workspaces_can_be_selected_by_host(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(workspace(host="big")))
    for host, names in (("big", "workspace.aicli.dev/case"), ("default", "")):
        assert kubectl("get", "ws", "-n", namespace, "-o=name", f"--field-selector=spec.host={host}").strip() == names


def test_workspaces_are_shown_by_get_all(kubectl: Kubectl, namespace: str) -> None:
    kubectl("apply", "-n", namespace, "-f", "-", stdin=yaml.safe_dump(workspace()))
    assert "workspace.aicli.dev/case" in kubectl("get", "all", "-n", namespace, "-o=name")
