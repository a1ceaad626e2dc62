"""Manifests from files, folders and stdin: parsed as the API server's clients do, with the line of every field.

A manifest that is judged here must be the one that is sent: see `goyaml`. A key that is there twice is refused, as
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
from controller.cli.goyaml import Loader, decode, target

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"
_STEP = re.compile(r"\[([^\]]*)\]|([^.\[]+)")


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
    """A file that isn't YAML; the message begins with `where` (file:line), `problem` is the rest."""

    def __init__(self, source: str, line: int, problem: str) -> None:
        self.where = f"{source}:{line}"
        self.problem = problem
        super().__init__(f"{self.where}: {problem}")


def files(paths: Sequence[str]) -> Iterator[str]:
    """The files behind files, folders (all below, hidden ones not) and `-`, in order. Raises Failure."""
    for path in paths:
        if not path:
            raise Failure("-f '': is no file or folder: is a variable of your script empty? (. is the current folder)")
        if path == STDIN:
            yield path
        elif Path(path).is_dir():
            inside = (p for p in sorted(Path(path).rglob("*")) if p.suffix in SUFFIXES and p.is_file())
            yield from (str(p) for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts))
        elif Path(path).exists():  # a pipe is no regular file, such as of <(kustomize build .)
            yield path
        else:
            raise Failure(f"{path}: no such file or folder")


def documents(file: str) -> list[Document]:
    """The objects of a file, those inside a List too. Raises Unreadable, Failure."""
    source = "stdin" if file == STDIN else file
    text = _text(file)
    try:
        return list(_read(source, Loader(text)))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Unreadable(source, mark.line + 1 if mark else 1, f"is not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise Unreadable(source, 1, f"is not valid YAML: {error}") from error


def _read(source: str, loader: Loader) -> Iterator[Document]:
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None
            yield from _expanded(source, node, decode(node))
    except RecursionError as error:
        raise Unreadable(source, 1, "is nested too deeply") from error
    except (ValueError, OverflowError) as error:  # of PyYAML, such as for the character \U00110000
        raise Unreadable(source, loader.line + 1, f"is not valid YAML: {error}") from error


def _text(file: str) -> str:
    if file == STDIN and sys.stdin is None:
        raise Failure("stdin: is closed: pipe the manifests in, or name a file with -f")
    try:
        return (sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()).decode()
    except OSError as error:
        raise Failure(f"{file}: can't be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unreadable(file, 1, "is not UTF-8 text") from error


def _expanded(source: str, node: yaml.Node, content: Any) -> Iterator[Document]:
    if content is None:  # an empty document, such as after a last `---`
        return
    items = content.get("items", "") if isinstance(content, dict) else ""
    if not isinstance(items, list | None) or not str(content.get("kind")).endswith("List"):
        yield Document(source, node, content)
        return
    items = items or []
    within = _child(node, "items")
    nodes = target(within).value if within else ()
    if len(nodes) != len(items):  # they come from a merge
        nodes = [node] * len(items)
    for child, item in zip(nodes, items, strict=True):
        yield Document(source, child, _typed(item, content))


def _typed(item: Any, of: dict[str, Any]) -> Any:
    """An item of a WorkspaceList, whose items need no kind: kubectl gives them that of the list."""
    if not isinstance(item, dict) or item.get("kind") or item.get("apiVersion"):
        return item
    return {**item, "apiVersion": of.get("apiVersion"), "kind": of["kind"].removesuffix("List")}


def _child(node: yaml.Node, step: str) -> yaml.Node | None:
    """The value's node, for lines; of a mapping's entry the line of the value's key when the value begins later."""
    node = target(node)
    if isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
        return node.value[int(step)]  # type: ignore[no-any-return]
    if isinstance(node, yaml.MappingNode):
        return next((value for key, value in node.value if key.value == step), None)
    return None
