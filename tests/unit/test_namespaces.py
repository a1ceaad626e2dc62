"""Labels of namespaces: read when they are first asked for, and all together now and then."""

from __future__ import annotations

from typing import Any, cast

from controller.namespaces import Namespaces


class _Kube:
    def __init__(self, **labels: dict[str, str]) -> None:
        self.all = labels

    async def namespace_labels(self, name: str) -> dict[str, str]:
        return self.all.get(name, {})

    async def labels_of_namespaces(self) -> dict[str, dict[str, str]]:
        return dict(self.all)


async def test_changed_labels_are_told_and_what_is_gone_is_forgotten() -> None:
    kube, changed = _Kube(a={"tier": "1"}, b={"tier": "1"}, c={}), list[str]()
    namespaces = Namespaces(cast(Any, kube), changed.append)
    await namespaces.refresh()  # nobody asked
    for name in kube.all:
        await namespaces.labels(name)
    kube.all = {"a": {"tier": "2"}, "c": {}}
    await namespaces.refresh()
    assert changed == ["a", "b"]
    assert await namespaces.labels("a") == {"tier": "2"}
    assert set(namespaces._labels) == {"a", "c"}


async def test_labels_that_are_read_while_all_are_listed_are_kept() -> None:
    kube = _Kube(a={"tier": "1"})
    namespaces = Namespaces(cast(Any, kube), lambda name: None)
    await namespaces.labels("a")

    async def slow() -> dict[str, dict[str, str]]:
        listed = dict(kube.all)
        kube.all = {"a": {"tier": "1"}, "new": {"tier": "2"}}
        await namespaces.labels("new")
        return listed

    kube.labels_of_namespaces = slow  # type: ignore[method-assign]
    await namespaces.refresh()
    assert namespaces._labels == kube.all
