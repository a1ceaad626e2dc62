"""Random objects: `validate()` and the API server agree on them, and what that one stores the controller can read."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.api import API_VERSION, validate
from controller.api.crd import KINDS, Kind
from controller.api.schema import structural_schema
from devcluster import ControlPlane
from tests.controller.apiserver import Api, create
from tests.unit.api.objects import docker_host, operation, workspace

TEXTS = (
    *("", "a", "a-b", "A_B", "a b", "1", "é", "a\n", "\x00", "ALL", "CAP_X", "*", "default", "team-*", "a" * 260),
    *("/", "/a", "/a/b", "/a/", "//a", "/a/../b", "/proc/a", "/dev"),
    *("/srv/{namespace}/*", "/srv/{namespace}/a", "/srv/*", "/srv/a/b"),
    *("250m", "6Mi", "5Mi", "2Gi", "-1", "1e3", "1e99", "0.5", "2", "1Mib"),
    *("alpine", "alpine:3", "r.io:5000/a/b@c", "unix:///a", "tcp://a:1", "ssh://a@b", "http://a", "127.0.0.1", "::1"),
    *("10.0.0.0/8", "10.0.0.1/8", "1-2", "2-1", "1-70000", "2026-01-01T00:00:00Z", "In", "Exists"),
)
GOOD = {"Workspace": workspace(), "DockerHost": docker_host(), "WorkspaceOperation": operation()}
ODD_VALUES = st.sampled_from([None, True, 0, 1, -1, 1.5, "", "x", [], {}, [None], {"a": 1}])


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Values that fit the schema often, but not always."""
    return st.one_of(*[_fitting(schema)] * 12, ODD_VALUES)


def _fitting(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _objects(schema)
        case "array":
            return st.lists(values(schema["items"]), max_size=3)
        case "integer" | "number":
            limits = (schema.get("minimum", 0), schema.get("maximum", 100))
            return st.sampled_from(
                [limits[0], limits[1], limits[0] + 1, *(limit + 1 for limit in limits), limits[0] - 1]
            )
        case "boolean":
            return st.booleans()
        case "string":
            return st.one_of(st.sampled_from(TEXTS), _by_pattern(schema))
        case _:
            return st.one_of(st.sampled_from(TEXTS), st.integers(-1, 2**33))


def _objects(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "properties" not in schema:
        return st.dictionaries(st.sampled_from(["a", "a/b", "a b", "/"]), values({"type": "string"}), max_size=2)
    fields = {name: values(field) for name, field in schema["properties"].items()}
    required = {name: fields[name] for name in schema.get("required", ())}
    return st.fixed_dictionaries(required, optional={name: fields[name] for name in fields if name not in required})


def _by_pattern(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    text = st.from_regex(schema["pattern"], fullmatch=True) if "pattern" in schema else st.text(max_size=20)
    return text.filter(lambda value: value.encode(errors="ignore").decode() == value)


def _specs(kind: Kind) -> st.SearchStrategy[dict[str, Any]]:
    """A good spec in which up to three fields are replaced."""
    schema = structural_schema(kind.model)["properties"]["spec"]
    fields = {name: values(field) for name, field in schema["properties"].items()}
    names = st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True)
    return names.flatmap(lambda names: st.fixed_dictionaries({name: fields[name] for name in names})).map(
        lambda replaced: GOOD[kind.model.__name__]["spec"] | replaced
    )


@pytest.fixture(scope="module")
def api(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API server, as administrator."""
    with Api(control_plane.kubeconfig, tmp_path_factory.mktemp("api")) as session:
        yield session


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.model.__name__)
def test_random_objects_get_the_same_verdict_and_can_be_read(api: Api, kind: Kind) -> None:
    @given(_specs(kind))
    @settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def check(spec: dict[str, Any]) -> None:
        obj = {"apiVersion": API_VERSION, "kind": kind.model.__name__, "metadata": {"name": "random"}, "spec": spec}
        response = create(api, obj, "default", dryRun="All")
        assert response.status_code in (201, 400, 422), response.text
        problems = validate(obj)
        assert (problems == []) == (response.status_code == 201), (problems, response.json().get("message"))
        if response.status_code == 201:
            kind.model.model_validate(response.json())

    check()
