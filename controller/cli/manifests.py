"""Manifests from files, folders and stdin: parsed as the API server's clients do, with the line of every field.

Go's YAML differs from Python's in what plain words mean (2024-01-02 and 12:30 are strings, 1e3 is a number): so does
this reader, for a manifest that is judged here must be the one that is sent. A key that is there twice is refused, as
kustomize and the API server do.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from controller.cli.failure import Failure

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


class _Loader(yaml.SafeLoader):
    """SafeLoader with Go's idea of plain scalars."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in resolvers if tag.rpartition(":")[2] in ("null", "bool", "merge")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"),
    list("-+.0123456789"),
)


def _integer(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    sign, digits = (-1, text[1:]) if text[0] == "-" else (1, text.lstrip("+"))
    if digits[:2] not in ("0b", "0o", "0x") and len(digits) > 1 and digits[0] == "0":
        return sign * int(digits, 8)
    return sign * int(digits, 0)


def _float(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> float:
    return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))


_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


@dataclass(frozen=True, slots=True)
class Document:
    """One object of a file. `node` knows the lines."""

    source: str
    node: yaml.Node
    object: Any

    def where(self, path: str) -> str:
        """`file:line` of a field such as `spec.env[0].name`: of the nearest one around it that is there."""
        node = self.node
        for index, key in _STEP.findall(path):
            found = _child(node, index or key)
            if found is None:
                break
            node = found
        return f"{self.source}:{node.start_mark.line + 1}"


class Unreadable(Failure):
    """A file that isn't YAML; the message begins with file:line."""


def files(paths: Sequence[str]) -> Iterator[str]:
    """The files behind files, folders (all below, hidden ones not) and `-`, in order. Raises Failure."""
    for path in paths:
        if path == STDIN or Path(path).is_file():
            yield path
        elif Path(path).is_dir():
            inside = (p for p in sorted(Path(path).rglob("*")) if p.suffix in SUFFIXES and p.is_file())
            yield from (str(p) for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts))
        else:
            raise Failure(f"{path}: no such file or folder")


def documents(file: str) -> list[Document]:
    """The objects of a file, those inside a List too. Raises Unreadable, Failure."""
    source = "stdin" if file == STDIN else file
    text = _text(file)
    try:
        loader = _Loader(text)
        found: list[Document] = []
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            _refuse_twice(node)
            found += _expanded(source, node, loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(f"{source}:{mark.line + 1 if mark else 1}: is not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise Unreadable(f"{source}:1: is not valid YAML: {error}") from error
    return found


def _text(file: str) -> str:
    try:
        return (sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()).decode()
    except OSError as error:
        raise Failure(f"{file}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(f"{file}:1: is not UTF-8 text") from error


def _expanded(source: str, node: yaml.Node, content: Any) -> Iterator[Document]:
    if content is None:  # an empty document, such as after a last `---`
        return
    items = content.get("items") if isinstance(content, dict) and str(content.get("kind")).endswith("List") else None
    if not isinstance(items, list):
        yield Document(source, node, content)
        return
    nodes = _child(node, "items")
    assert isinstance(nodes, yaml.SequenceNode)
    for child, item in zip(nodes.value, items, strict=True):
        yield Document(source, child, item)


def _refuse_twice(node: yaml.Node) -> None:
    """Takes no mapping with the same key twice: one of the two is a mistake."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) and key.value != "<<" else None
            if name in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {name!r} is there twice", problem_mark=key.start_mark)
            if name is not None:
                seen.add(name)
            _refuse_twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_twice(value)


def _child(node: yaml.Node, step: str) -> yaml.Node | None:
    """The value's node, for lines; of a mapping's entry the line of the value's key when the value begins later."""
    if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        return node.value[int(step)]  # type: ignore[no-any-return]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None
