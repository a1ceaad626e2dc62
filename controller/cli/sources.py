"""The Secrets and ConfigMaps that a plan depends on: read by the controller's own code, with this user's rights."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from controller import actions as act
from controller.cli.cluster import Cluster, Forbidden, NotFound
from controller.container_spec import ContainerSpec
from controller.credentials import credentials_for
from controller.desired import Desired
from controller.errors import WorkspaceError
from controller.kube import Data
from controller.plan import Plan
from controller.references import References

CHANGED = " has changed since the container was made"  # after `Kind/name`, in pendingChanges
OTHER = "other"  # a version unlike every real one


class Sources:
    """What this user may read, each object once. Values only tell what would fail; they are shown nowhere."""

    def __init__(self, cluster: Cluster) -> None:
        self._reader = _Reader(cluster)
        reader: Any = self._reader
        self._references = References(reader, lambda: (), lambda source: None)

    def versions(self, desired: Desired, pending: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """`Kind/name` -> its version now, and notes on what this user may not read.

        `pending`: the status' pendingChanges, which may know of a change to those.
        """
        found: dict[str, str] = {}
        notes: list[str] = []
        for ref in () if desired.deleting else desired.container.references:
            label = f"{ref.kind}/{ref.name}"
            try:
                asyncio.run(self._references.learn(desired.namespace, [ref]))
                found |= self._references.versions(desired.namespace, [ref]) or {}
            except Forbidden:
                changed = label + CHANGED in pending
                told = "the status says that it has changed" if changed else "whether it has changed is not known here"
                notes.append(f"you may not read {ref}: {told}")
                if changed:
                    found[label] = OTHER
        return found, notes

    def failures(self, desired: Desired, decided: Plan) -> Iterator[str]:
        """The steps that would fail for want of something in a Secret or ConfigMap."""
        for number, action in enumerate(decided.actions, 1):
            try:
                asyncio.run(self._prepare(desired, action))
            except WorkspaceError as error:
                yield f"step {number} would fail: {error}"
            except Forbidden:
                names = ", ".join(desired.pull_secrets)
                yield f"you may not read all imagePullSecrets ({names}): whether step {number} can pull is not known"

    async def _prepare(self, desired: Desired, action: act.Action) -> None:
        reader: Any = self._reader
        match action:
            case act.EnsureImage(image=image):
                await credentials_for(reader, desired.namespace, desired.pull_secrets, image)
            case act.Create(spec=spec):
                await self._references.resolve(self._readable(spec))

    def _readable(self, spec: ContainerSpec) -> ContainerSpec:
        hidden = self._reader.hidden
        seen = (v for v in spec.env if not v.source or (v.source.kind, spec.namespace, v.source.name) not in hidden)
        return replace(spec, env=tuple(seen))


class _Reader:
    """Stands in for the controller's `Kube`, as far as references go."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._read: dict[tuple[str, str, str], Data | None] = {}
        self.hidden: set[tuple[str, str, str]] = set()  # kind, namespace, name

    async def data(self, kind: str, namespace: str, name: str) -> Data | None:
        """Values and version; None where it doesn't exist. Raises Forbidden."""
        key = (kind, namespace, name)
        if key not in self._read:
            self._read[key] = self._ask(*key)
        return self._read[key]

    def _ask(self, kind: str, namespace: str, name: str) -> Data | None:
        try:
            found = self._cluster.source(kind, namespace, name)
        except NotFound:
            return None
        except Forbidden:
            self.hidden.add((kind, namespace, name))
            raise
        meta, values = found["metadata"], dict(found.get("data") or {})
        if kind == "Secret":
            values = {key: base64.b64decode(value).decode(errors="surrogateescape") for key, value in values.items()}
        return Data(f"{meta['uid']}:{meta['resourceVersion']}", values)
