"""Labels of namespaces, for host policies that select namespaces by label. Nothing is read where no policy does."""

from __future__ import annotations

from collections.abc import Callable

from controller.kube import Kube


class Namespaces:
    """Labels as last read; `on_change(namespace)` hears of changed ones."""

    def __init__(self, kube: Kube, on_change: Callable[[str], None]) -> None:
        self._kube, self._on_change = kube, on_change
        self._labels: dict[str, dict[str, str]] = {}

    async def labels(self, name: str) -> dict[str, str]:
        """The labels of a namespace. Raises ApiUnavailable."""
        if name not in self._labels:
            self._labels[name] = await self._kube.namespace_labels(name)
        return self._labels[name]

    async def refresh(self) -> None:
        """Reads all namespaces again, if any was ever asked for. Raises ApiUnavailable."""
        if not self._labels:
            return
        before = dict(self._labels)  # what is read meanwhile may be newer than the list
        now = await self._kube.labels_of_namespaces()
        for name, labels in before.items():
            if name in now:
                self._labels[name] = now[name]
            else:
                del self._labels[name]
            if labels != now.get(name, {}):
                self._on_change(name)
