"""The generated files say what the models say, and nothing that Kubernetes would refuse or users miss."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from controller.api.crd import KINDS, custom_resource_definition, drift, generated_files, main

ROOT = Path(__file__).parents[3]


def _schemas(node: dict[str, Any], path: str = "", in_list: bool = False) -> Iterator[tuple[str, dict[str, Any], bool]]:
    yield path, node, in_list
    for name, child in node.get("properties", {}).items():
        yield from _schemas(child, f"{path}.{name}", in_list)
    if "items" in node:
        yield from _schemas(node["items"], f"{path}[]", True)
    if isinstance(node.get("additionalProperties"), dict):
        yield from _schemas(node["additionalProperties"], f"{path}{{}}", in_list)


FIELDS = [
    pytest.param(schema, in_list, id=f"{kind.model.__name__}{path}")
    for kind in KINDS
    for path, schema, in_list in _schemas(
        custom_resource_definition(kind)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    )
]


def test_the_files_of_the_repository_are_what_the_models_say() -> None:
    assert drift(ROOT) == ""


def test_check_shows_what_differs_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path)]) == 0
    assert main(["--root", str(tmp_path), "--check"]) == 0
    crd = tmp_path / "crds" / "workspaces.yaml"
    crd.write_text(crd.read_text().replace("maximum: 3600", "maximum: 9999"))
    assert main(["--root", str(tmp_path), "--check"]) == 1
    message = capsys.readouterr().err
    assert "-                maximum: 9999" in message
    assert "make generate" in message


@pytest.mark.parametrize(("schema", "in_list"), FIELDS)
def test_every_string_list_and_map_is_bounded(schema: dict[str, Any], in_list: bool) -> None:
    if schema.get("type") == "string" and "description" in schema and "Version of the schema" in schema["description"]:
        return
    if schema.get("type") == "string":
        assert "maxLength" in schema or "enum" in schema or "format" in schema or "Kind of" in schema["description"]
    if schema.get("type") == "array":
        assert "maxItems" in schema
        assert "x-kubernetes-list-type" in schema
    if "additionalProperties" in schema:
        assert "maxProperties" in schema


@pytest.mark.parametrize(("schema", "in_list"), FIELDS)
def test_items_of_lists_have_no_defaults(schema: dict[str, Any], in_list: bool) -> None:
    assert not (in_list and "default" in schema)


@pytest.mark.parametrize(("schema", "in_list"), FIELDS)
def test_every_field_has_a_short_description_of_one_line(schema: dict[str, Any], in_list: bool) -> None:
    for name, field in schema.get("properties", {}).items():
        if name != "metadata":
            assert 5 < len(field["description"]) < 300
            assert "\n" not in field["description"]


@pytest.mark.parametrize(("schema", "in_list"), FIELDS)
def test_every_enum_is_explained(schema: dict[str, Any], in_list: bool) -> None:
    explained = {"phase", "status"}
    for name, field in schema.get("properties", {}).items():
        if "enum" in field and name not in explained:
            assert all(value in field["description"] for value in field["enum"]), name


def test_names_are_those_of_the_design() -> None:
    names = {kind.plural: custom_resource_definition(kind)["spec"] for kind in KINDS}
    assert names["workspaces"]["names"]["shortNames"] == ["ws"]
    assert "all" in names["workspaces"]["names"]["categories"]
    assert names["dockerhosts"]["scope"] == "Cluster"
    assert names["workspaceoperations"]["names"]["shortNames"] == ["wsop"]


def test_schemas_for_editors_refuse_unknown_fields_and_need_a_kind() -> None:
    for path, text in generated_files().items():
        if path.suffix != ".json":
            continue
        schema = json.loads(text)
        assert {"apiVersion", "kind", "metadata", "spec"} <= set(schema["required"])
        assert schema["properties"]["kind"]["enum"][0].lower() == path.name.split("_")[0]
        for where, node, _ in _schemas(schema):
            if "properties" in node:
                assert node["additionalProperties"] is False, where
            assert not any(key.startswith("x-kubernetes") for key in node), where
