"""The tables at the end: gathered from all processes that tests run in (pytest-xdist), printed after all else."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.faults.report import Tally as Faults
from tests.security.report import Tally as Threats


@dataclass
class Tables:
    """What the tests of this process have added, and, in the first process, what the others sent."""

    faults: Faults = field(default_factory=Faults)
    threats: Threats = field(default_factory=Threats)

    def dump(self) -> dict[str, Any]:
        """As plain types, to send."""
        return {"faults": self.faults.dump(), "threats": self.threats.dump()}

    def add(self, sent: dict[str, Any]) -> None:
        """Takes in what another process has sent."""
        self.faults.load(sent["faults"])
        self.threats.load(sent["threats"])

    def lines(self) -> Iterable[str]:
        """All tables that have something in them."""
        for table in (self.threats, self.faults):
            if table.any:
                yield from table.lines()


TABLES = pytest.StashKey[Tables]()


class Gathering:
    """The plugin that carries the tables; registered by tests/conftest.py."""

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In another process than the first: sends."""
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["tables"] = session.config.stash[TABLES].dump()

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """In the first process: another one has ended."""
        sent = getattr(node, "workeroutput", {}).get("tables")
        if sent:
            node.config.stash[TABLES].add(sent)

    @pytest.hookimpl(wrapper=True)
    def pytest_unconfigure(self, config: pytest.Config) -> Generator[None]:
        """Prints, in the first process."""
        yield
        reporter = config.pluginmanager.getplugin("terminalreporter")
        for line in config.stash[TABLES].lines() if reporter else ():
            reporter.write_line(line)
