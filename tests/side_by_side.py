"""`make test` runs two processes of tests side by side (pytest-xdist): whole folders, whose tests share servers."""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

LONGEST = ("faults", "shipping", "e2e", "controller", "security")  # begun first, so that none is left for the end


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the folders below tests/ one after the other."""

    def _split_scope(self, nodeid: str) -> str:
        return _folder(nodeid)


class SideBySide:
    """The plugin; registered by tests/conftest.py."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: Any, log: Any) -> ByFolder:
        """In the first process."""
        config.option.loadscopereorder = False  # by the number of tests: it says nothing of their length
        return ByFolder(config, log)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """In every process, as all must collect the same."""
        order = {folder: place for place, folder in enumerate(LONGEST)}
        items.sort(key=lambda item: order.get(_folder(item.nodeid), len(order)))


def _folder(nodeid: str) -> str:
    return nodeid.split("::", 1)[0].split("/")[1]
