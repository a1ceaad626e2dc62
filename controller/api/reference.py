"""The API reference in Markdown, from the schemas that the models give: docs/api.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]
_HEADER = """\
<!-- Generated from controller/api by `make generate`. Do not edit. -->

# API reference: aicli.dev/v1alpha1

Every field of the three kinds, as `kubectl explain` tells it too. A field in **bold** is required. What a schema
can't say is under *Rules*: the API server answers with these words. Types are as in YAML; `[]` is a list. For editors
and kubeconform there are JSON schemas in [schemas](../schemas/aicli.dev).
"""


def reference(kinds: Sequence[tuple[str, str, Schema]]) -> str:
    """The page. Each kind is its name, its short description and its structural schema."""
    parts = [_HEADER]
    parts.append("\n".join(f"- [{name}](#{name.lower()}): {words}" for name, words, _ in kinds) + "\n")
    for name, _, schema in kinds:
        parts += [f"## {name}\n", f"{schema.get('description', '')}\n"]
        for part in ("spec", "status"):
            parts += [f"### {name} {part}\n", _table(schema["properties"][part])]
            rules = list(_rules(schema["properties"][part], part))
            parts += ["Rules:\n", "\n".join(rules) + "\n"] if rules else []
    return "\n".join(parts)


def _table(schema: Schema) -> str:
    rows = ["| Field | Type | Default | |", "|---|---|---|---|"]
    rows += [f"| {field} | {kind} | {default} | {words} |" for field, kind, default, words in _rows(schema, "")]
    return "\n".join(rows) + "\n"


def _rows(schema: Schema, path: str) -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", ())
    for name, child in schema.get("properties", {}).items():
        field = f"{path}{name}"
        yield (
            f"**`{field}`**" if name in required else f"`{field}`",
            _type(child),
            _default(child),
            _cell(" ".join(filter(None, (child.get("description", ""), _bounds(child))))),
        )
        inner, suffix = _inner(child)
        yield from _rows(inner, f"{field}{suffix}.")


def _inner(schema: Schema) -> tuple[Schema, str]:
    if schema.get("type") == "array":
        return schema["items"], "[]"
    values = schema.get("additionalProperties")
    return (values, ".*") if isinstance(values, dict) else (schema, "")


def _type(schema: Schema) -> str:
    kind = schema.get("type") or ("integer or string" if schema.get("x-kubernetes-int-or-string") else "any")
    if kind == "array":
        return f"{_type(schema['items'])}[]"
    values = schema.get("additionalProperties")
    if isinstance(values, dict):
        return f"map of {_type(values)}"
    return " \\| ".join(f"`{value}`" for value in schema["enum"]) if "enum" in schema else str(kind)


def _default(schema: Schema) -> str:
    value = schema.get("default")
    if value is None or isinstance(value, dict):  # its fields say theirs
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    words = [f"{low} to {high}." if low is not None and high is not None else ""]
    words.append(f"At most {schema['maxItems']} items." if "maxItems" in schema else "")
    words.append(f"At most {schema['maxProperties']} entries." if "maxProperties" in schema else "")
    words.append(f"At most {schema['maxLength']} characters." if "maxLength" in schema and "enum" not in schema else "")
    return " ".join(filter(None, words))


def _rules(schema: Schema, path: str) -> Iterator[str]:
    for rule in schema.get("x-kubernetes-validations", ()):
        yield f"- `{path}`: {rule.get('message') or rule['rule']}"
    inner, suffix = _inner(schema)
    for name, child in inner.get("properties", {}).items():
        yield from _rules(child, f"{path}{suffix}.{name}")
    if inner is not schema:
        for rule in inner.get("x-kubernetes-validations", ()):
            yield f"- `{path}{suffix}`: {rule.get('message') or rule['rule']}"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
