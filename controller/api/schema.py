"""Pydantic's JSON schema as the two dialects that Kubernetes tools read.

`structural_schema` is what a CustomResourceDefinition takes: without references, `null`, `additionalProperties: false`.
`editor_schema` is JSON Schema draft 7 for kubeconform and editors, which refuses unknown fields itself.
"""

import ast
import inspect
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from controller.api.model import ApiModel

Schema = dict[str, Any]

_ORDER = ("description", "type", "format", "enum", "default", "minLength", "maxLength", "pattern", "minimum", "maximum")
_NESTED = ("items", "additionalProperties", "required", "properties", "x-kubernetes-validations")
_API_VERSION = "Version of the schema of this object. More: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#resources"
_KIND = "Kind of this object, in CamelCase. More: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds"


def structural_schema(model: type[BaseModel]) -> Schema:
    """The `openAPIV3Schema` of a kind."""
    raw = model.model_json_schema(by_alias=True)
    definitions: dict[str, Schema] = raw.get("$defs", {})
    for name, definition in [*definitions.items(), (model.__name__, raw)]:
        _describe(definition, _descriptions().get(name, {}))
    schema = _structural(raw, definitions, in_list=False)
    properties = schema["properties"]
    properties["apiVersion"] = {"description": _API_VERSION, "type": "string"}
    properties["kind"] = {"description": _KIND, "type": "string"}
    properties["metadata"] = {"type": "object"}
    schema["required"] = ["spec"]
    return schema


def editor_schema(model: type[BaseModel]) -> Schema:
    """JSON Schema (draft 7) of a kind. Rules that need CEL are left out: `kubectl workspace validate` knows them."""
    schema = _closed(structural_schema(model))
    properties = schema["properties"]
    for field in ("apiVersion", "kind"):
        properties[field]["enum"] = [model.model_fields["api_version" if field == "apiVersion" else field].default]
    properties["metadata"] = {"type": "object"}
    schema["required"] = ["apiVersion", "kind", "metadata", "spec"]
    return {"$schema": "http://json-schema.org/draft-07/schema#", **schema}


def _describe(definition: Schema, descriptions: Mapping[str, str]) -> None:
    for field, text in descriptions.items():
        definition["properties"][field]["description"] = text


@cache
def _descriptions() -> dict[str, dict[str, str]]:
    """The docstrings below the fields, by class and by name in YAML.

    Pydantic can read them too, but does so at each import: a quarter of the start of every command.
    """
    docstrings = dict(_docstrings())
    return {
        model.__name__: {
            str(field.alias): docstrings[model.__name__, name]
            for name, field in model.model_fields.items()
            if (model.__name__, name) in docstrings
        }
        for model in _models(ApiModel)
    }


def _docstrings() -> Iterator[tuple[tuple[str, str], str]]:
    for module in {model.__module__ for model in _models(ApiModel)}:
        for node in ast.parse(inspect.getsource(sys.modules[module])).body:
            if isinstance(node, ast.ClassDef):
                yield from (((node.name, name), text) for name, text in _documented_fields(node))


def _documented_fields(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for statement, below in pairwise(node.body):
        match statement, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                yield name, text


def _models(base: type[ApiModel]) -> Iterator[type[ApiModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _structural(node: Schema, definitions: Mapping[str, Schema], in_list: bool) -> Schema:
    node = _resolved(node, definitions)
    schema = {key: value for key, value in node.items() if key not in ("$defs", "title", "const", "default")}
    if "description" in schema:
        schema["description"] = " ".join(schema["description"].split())
    default = _without_empty(node.get("default"))
    if default is not None and not in_list:
        schema["default"] = default
    if "properties" in node:
        schema["properties"] = {
            name: _structural(child, definitions, in_list) for name, child in node["properties"].items()
        }
        schema.pop("additionalProperties", None)
    elif isinstance(node.get("additionalProperties"), dict):
        schema["additionalProperties"] = _structural(node["additionalProperties"], definitions, in_list)
    if node.get("type") == "array":
        schema["items"] = _structural(node["items"], definitions, in_list=True)
        schema.setdefault("x-kubernetes-list-type", "atomic")
    return _ordered(schema)


def _resolved(node: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Without `$ref` and without the `null` of an optional field; what stands beside a reference wins over it."""
    while True:
        options = [option for option in node.get("anyOf", ()) if option.get("type") != "null"]
        if "$ref" in node:
            target = definitions[node["$ref"].rsplit("/", 1)[1]]
        elif "anyOf" in node and len(options) == 1:
            target = options[0]
        else:
            return node
        node = {**target, **{key: value for key, value in node.items() if key not in ("$ref", "anyOf")}}


def _without_empty(value: Any) -> Any:
    """None for what has no default of its own: null, empty lists, and objects of nothing but these."""
    if isinstance(value, dict):
        kept = {key: _without_empty(child) for key, child in value.items()}
        value = {key: child for key, child in kept.items() if child is not None}
    if value is None or value == [] or value == {}:
        return None
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _ordered(schema: Schema) -> Schema:
    first = [key for key in _ORDER if key in schema]
    last = [key for key in _NESTED if key in schema]
    middle = [key for key in schema if key not in first and key not in last]
    return {key: _integral(schema[key]) for key in (*first, *middle, *last)}


def _integral(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _closed(schema: Schema) -> Schema:
    closed = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    if "properties" in schema:
        closed["properties"] = {name: _closed(child) for name, child in schema["properties"].items()}
        closed["additionalProperties"] = False
    elif isinstance(schema.get("additionalProperties"), dict):
        closed["additionalProperties"] = _closed(schema["additionalProperties"])
    if "items" in schema:
        closed["items"] = _closed(schema["items"])
    return closed
