"""Everything at once: the controller is killed again and again, servers freeze, and users change what they have."""

from __future__ import annotations

import contextlib
import random
import threading
import time

import pytest

from devcluster import Engine, Process
from tests.faults.api import Refused
from tests.faults.rig import PATIENCE, Rig
from tests.faults.test_controller import SMALL
from tests.waiting import eventually

SEED = 7
FROZEN = (0.5, 1.0, 3.0, 8.0)  # seconds


class Chaos:
    """Three kinds of trouble, each on a thread of its own, until `over` is set."""

    def __init__(self, rig: Rig, names: list[str]) -> None:
        self._rig, self._names, self.over = rig, names, threading.Event()
        self.killed = self.frozen = self.changed = 0

    def kill(self) -> None:
        """kill -9 of the controller in a loop, at moments of no pattern."""
        dice = random.Random(SEED)
        while not self.over.wait(dice.uniform(0.5, 6.0)):
            self._rig.kill()
            self._rig.restart()
            self.killed += 1

    def freeze(self) -> None:
        """SIGSTOP of dockerd, kube-apiserver or etcd for a while."""
        dice, cluster = random.Random(SEED + 1), self._rig.cluster
        servers: list[Process | Engine] = [cluster.apiserver, cluster.etcd, self._rig.engine]
        while not self.over.wait(dice.uniform(0.5, 4.0)):
            it = dice.choice(servers)
            it.pause()
            self.over.wait(dice.choice(FROZEN))
            it.resume()
            self.frozen += 1

    def change(self) -> None:
        """What users do all day."""
        dice = random.Random(SEED + 2)
        while not self.over.wait(dice.uniform(0.0, 0.3)):
            with contextlib.suppress(Refused, OSError):
                self._change(dice, dice.choice(self._names))
                self.changed += 1

    def _change(self, dice: random.Random, name: str) -> None:
        match dice.choice(["env", "state", "state", "restart", "delete", "apply", "apply"]):
            case "env":
                self._rig.edit(name, env=[{"name": "EDIT", "value": str(self.changed)}])
            case "state":
                self._rig.edit(name, desiredState=dice.choice(["Running", "Running", "Paused", "Stopped"]))
            case "restart":
                self._rig.annotate(name, restartedAt=f"change {self.changed}")
            case "delete":
                self._rig.delete(name)
            case _:
                self._rig.apply(name, SMALL)


def _chaos(rig: Rig, workspaces: int, seconds: float) -> Chaos:
    names = [f"ws-{number}" for number in range(workspaces)]
    for name in names:
        rig.apply(name, SMALL)
    rig.converge(4 * PATIENCE)
    chaos = Chaos(rig, names)
    threads = [threading.Thread(target=work) for work in (chaos.kill, chaos.freeze, chaos.change)]
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    chaos.over.set()
    for thread in threads:
        thread.join(60)
    eventually(lambda: rig.probe("/readyz") == 200, PATIENCE)
    rig.converge(4 * PATIENCE)
    assert not rig.oracle.violations, rig.oracle.violations
    return chaos


def test_what_is_declared_outlives_kills_and_freezes(rig: Rig) -> None:
    chaos = _chaos(rig, 8, 30.0)
    assert min(chaos.killed, chaos.frozen, chaos.changed) > 2


@pytest.mark.nightly
def test_what_50_workspaces_declare_outlives_kills_and_freezes(rig: Rig) -> None:
    chaos = _chaos(rig, 50, 180.0)
    assert min(chaos.killed, chaos.frozen, chaos.changed) > 10
