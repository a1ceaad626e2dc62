"""YAML as kubectl reads it: composed by PyYAML, resolved and decoded as go.yaml.in/yaml/v2 and sigs.k8s.io/yaml do.

Go's YAML differs from Python's in what plain words mean (y is true, 2024-01-02 and 12:30 are strings, 1e3 is a number),
in merges (one that stands below a key wins over it) and in tags (it passes over those that it doesn't know).
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any

import yaml

from controller.cli.scalars import BINARY, MERGE, STR, resolve

_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")  # surrogates: two make one character
_HALF = re.compile("[\ud800-\udfff]")
_SMALL, _LARGE = 400_000, 4_000_000  # nodes; goyaml's bounds between which it allows less and less aliasing


class Alias(yaml.Node):
    """Where `*name` stands. Its value is the node that has the anchor."""

    id = "alias"


class Loader(yaml.SafeLoader):
    """Composes nodes that keep aliases and tags as they are written; a scalar without a tag has the tag ""."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._is_json = text.lstrip().startswith("{")  # as kubectl tells

    def scan_to_next_token(self) -> None:
        """Passes over tabs too where they are no indentation, as in most JSON of Go."""
        super().scan_to_next_token()
        while self.peek() == "\t" and (self.flow_level or not self.allow_simple_key):
            self.forward()
            super().scan_to_next_token()

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """The next node. Raises yaml.MarkedYAMLError."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if not isinstance(event, yaml.AliasEvent):
            if isinstance(event, yaml.NodeEvent):
                self.anchors.pop(event.anchor, None)  # the last anchor of a name counts; PyYAML would take but one
            return super().compose_node(parent, index)  # type: ignore[return-value]
        self.get_event()  # type: ignore[no-untyped-call]
        if event.anchor not in self.anchors:
            raise _error(event, f"there is no anchor {event.anchor!r} above")
        mark: Any = event.start_mark
        return Alias("", self.anchors[event.anchor], mark, mark)

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """The next scalar."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        node: yaml.ScalarNode = super().compose_scalar_node(anchor)
        node.tag = event.tag or ("" if event.implicit[0] else STR)
        if self._is_json:
            node.value = _PAIR.sub(_joined, node.value)
        return node


def decode(node: yaml.Node) -> Any:
    """What the API server would get for a document. Raises yaml.MarkedYAMLError."""
    return _Decoder().value(node)


def target(node: yaml.Node) -> yaml.Node:
    """The node itself, or the one that it is an alias of."""
    return node.value if isinstance(node, Alias) else node


class _Decoder:
    """Decodes one document, each alias anew, and counts as goyaml does: a few lines could stand for gigabytes."""

    def __init__(self) -> None:
        self._decoded = 1  # the document
        self._by_alias = 0
        self._inside: list[yaml.Node] = []  # the aliases that are being decoded

    def value(self, node: yaml.Node) -> Any:
        self._count(node)
        if isinstance(node, Alias):
            return self._followed(node, self.value)
        if isinstance(node, yaml.MappingNode):
            made: dict[str, Any] = {}
            self._mapping(node, made)
            return made
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child) for child in node.value]
        return _scalar(node)

    def _followed(self, alias: Alias, what: Any) -> Any:
        if alias in self._inside:
            raise _error(alias, "the value of the anchor contains itself")
        self._inside.append(alias)
        result = what(alias.value)
        self._inside.pop()
        return result

    def _count(self, node: yaml.Node) -> None:
        self._decoded += 1
        self._by_alias += bool(self._inside)
        share = self._by_alias / self._decoded
        if self._by_alias > 100 and self._decoded > 1000 and share > _allowed_share(self._decoded):
            raise _error(node, "aliases multiply what is there beyond what the API server's clients take")

    def _mapping(self, node: yaml.MappingNode, into: dict[str, Any]) -> None:
        own = set()
        for key, child in node.value:
            if _is_merge(key):
                self._merge(child, into)
                continue
            name = self._key(key)
            if name in own:  # kubectl would take the last one; kustomize and the API server refuse both
                raise _error(key, f"the key {name!r} is there twice")
            own.add(name)
            into[name] = self.value(child)

    def _merge(self, node: yaml.Node, into: dict[str, Any]) -> None:
        """In the order that goyaml has: what is read later wins."""
        nodes = reversed(node.value) if isinstance(node, yaml.SequenceNode) else [node]
        for each in nodes:
            if not isinstance(target(each), yaml.MappingNode):
                raise _error(each, "only objects can be merged with <<")
            self._merged(each, into)

    def _merged(self, node: yaml.Node, into: dict[str, Any]) -> None:
        self._count(node)
        if isinstance(node, Alias):
            self._followed(node, lambda found: self._merged(found, into))
        else:
            assert isinstance(node, yaml.MappingNode)
            self._mapping(node, into)

    def _key(self, node: yaml.Node) -> str:
        """A key of JSON."""
        self._count(node)
        found = target(node)
        value = _scalar(found) if isinstance(found, yaml.ScalarNode) else None
        if value is None or (isinstance(value, int) and value >= 2**63):
            raise _error(node, "must be a string to be the key of a field")
        if isinstance(value, bool):
            return str(value).lower()
        if isinstance(value, float):
            return f"{value:g}"  # as Go's %g, up to six digits
        return str(value)


def _allowed_share(decoded: int) -> float:
    """How much may come from aliases: 99% of a document of usual size, 10% of one of megabytes."""
    beyond = min(max(decoded - _SMALL, 0), _LARGE - _SMALL)
    return 0.99 - 0.89 * beyond / (_LARGE - _SMALL)


def _scalar(node: yaml.Node) -> Any:
    _refuse_halves(node)
    if node.tag == BINARY:
        return _binary(node)
    try:
        value = resolve(node.tag, node.value)
    except ValueError as error:
        raise _error(node, str(error)) from error
    if isinstance(value, float) and not math.isfinite(value):
        raise _error(node, "infinity and what is no number can't be sent: JSON has neither")
    return value


def _joined(pair: re.Match[str]) -> str:
    """JSON has no other escape for what lies beyond \\uffff. YAML has \\U, and Go takes no pairs there."""
    return pair[0].encode("utf-16", "surrogatepass").decode("utf-16")


def _refuse_halves(node: yaml.Node) -> None:
    """kubectl refuses them in YAML; of JSON it would send another character in their place."""
    half = _HALF.search(node.value)
    if half:
        escape = f"\\u{ord(half[0]):04x}"
        raise _error(node, f"the escape {escape} is half of a character, which no text can hold: write it whole")


def _binary(node: yaml.Node) -> str:
    try:
        data = base64.b64decode(node.value.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _error(node, "is no base64, as its tag !!binary says") from error
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode(errors="surrogateescape"))  # as Go's JSON: byte by byte


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == "<<" and node.tag in ("", "!", MERGE)


def _error(at: Any, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=at.start_mark)
