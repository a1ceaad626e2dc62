"""Random edits, by-hand changes, cuts, crashes and restarts on the real stack: afterwards all is as declared.

The steps of the runs are drawn by hypothesis; the oracle watches the invariants all the time. A failing run prints its
steps, to be kept as a test of its own.
"""

from __future__ import annotations

import contextlib
import subprocess
import time

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from controller import naming
from tests.faults.api import Refused
from tests.faults.proxy import Call, Fault
from tests.faults.rig import PATIENCE, Rig
from tests.waiting import eventually

NAMES = st.sampled_from(["a", "b", "c"])
PAUSES = st.sampled_from([0.0, 0.05, 0.3, 1.0])  # seconds
SOON = {"maxRetries": 100, "backoff": {"initialSeconds": 1, "maxSeconds": 1, "factor": 1}}  # runs stay short


class RealFuzz(RuleBasedStateMachine):
    """One run: each rule does one thing, then lets some time pass."""

    rig: Rig

    def __init__(self) -> None:
        super().__init__()
        self._edits = 0
        self._foreign: list[str] = []

    # users

    @rule(name=NAMES, state=st.sampled_from(["Running", "Running", "Paused", "Stopped"]), pause=PAUSES)
    def create(self, name: str, state: str, pause: float) -> None:
        with contextlib.suppress(Refused):  # it is there already
            self.rig.apply(name, {"desiredState": state, "terminationGracePeriodSeconds": 1, "recovery": SOON})
        time.sleep(pause)

    @rule(name=NAMES, pause=PAUSES)
    def delete(self, name: str, pause: float) -> None:
        with contextlib.suppress(LookupError):
            self.rig.delete(name)
        time.sleep(pause)

    @rule(name=NAMES, state=st.sampled_from(["Running", "Paused", "Stopped"]), pause=PAUSES)
    def set_state(self, name: str, state: str, pause: float) -> None:
        self._edit(name, desiredState=state)
        time.sleep(pause)

    @rule(name=NAMES, pause=PAUSES)
    def set_environment(self, name: str, pause: float) -> None:
        self._edits += 1
        self._edit(name, env=[{"name": "EDIT", "value": str(self._edits)}])
        time.sleep(pause)

    @rule(name=NAMES, memory=st.sampled_from(["64Mi", "128Mi"]), pause=PAUSES)
    def set_limits(self, name: str, memory: str, pause: float) -> None:
        self._edit(name, resources={"limits": {"memory": memory}})
        time.sleep(pause)

    @rule(name=NAMES, pause=PAUSES)
    def ask_for_restart(self, name: str, pause: float) -> None:
        self._edits += 1
        with contextlib.suppress(LookupError):
            self.rig.annotate(name, restartedAt=f"2030-01-01T00:00:{self._edits % 60:02d}Z")
        time.sleep(pause)

    # people on the host

    @rule(
        words=st.sampled_from(["kill", "pause", "unpause", "stop --time=1", "start", "rm --force"]),
        number=st.integers(0, 2),
        pause=PAUSES,
    )
    def by_hand(self, words: str, number: int, pause: float) -> None:
        found = self.rig.oracle.containers(self.rig.namespace)
        if found:
            with contextlib.suppress(subprocess.CalledProcessError):  # not in that state, or just gone
                self.rig.shell(*words.split(), found[number % len(found)]["Id"])
        time.sleep(pause)

    @rule(name=NAMES, copies=st.booleans(), pause=PAUSES)
    def foreign(self, name: str, copies: bool, pause: float) -> None:
        """A container that isn't ours has the name that we want, or our labels without the cluster's."""
        with contextlib.suppress(LookupError, subprocess.CalledProcessError):
            uid = self.rig.get(name)["metadata"]["uid"]
            wanted = naming.container_name(self.rig.namespace, name, uid)
            words = ("--label", f"{naming.LABEL_UID}={uid}") if copies else ("--name", wanted)
            container = self.rig.shell("run", "-d", "--network=none", *words, "alpine:latest", "sleep", "infinity")
            self.rig.oracle.protect("default", container)
            self._foreign.append(container)
        time.sleep(pause)

    # faults

    @rule(which=st.sampled_from(["kube", "docker"]), pause=PAUSES)
    def cut(self, which: str, pause: float) -> None:
        (self.rig.kube_proxy if which == "kube" else self.rig.docker).cut()
        time.sleep(pause)

    @rule(which=st.sampled_from(["kube", "docker"]), lose=st.booleans(), pause=PAUSES)
    def lose(self, which: str, lose: bool, pause: float) -> None:
        """The next mutating call does not go out, or its reply does not come back."""
        proxy = self.rig.kube_proxy if which == "kube" else self.rig.docker

        def once(call: Call) -> Fault | None:
            if not call.number:
                return None
            proxy.rule = lambda call: None
            return Fault(lose=True) if lose else Fault(drop=True)

        proxy.rule = once
        time.sleep(pause)

    @rule(kill=st.booleans(), pause=PAUSES)
    def restart_controller(self, kill: bool, pause: float) -> None:
        if kill:
            self.rig.kill()
        else:
            self.rig.controller.stop()
        time.sleep(pause)
        self.rig.restart()

    # the end

    def teardown(self) -> None:
        """Faults end; all becomes as declared, and nothing is left when all is deleted."""
        rig = self.rig
        rig.kube_proxy.rule = rig.docker.rule = lambda call: None
        if self._foreign:
            rig.oracle.release()
            rig.shell("rm", "--force", *self._foreign)
        for name in rig.names():  # what a foreign name held back is tried at once
            self.ask_for_restart(name, 0.0)
        rig.converge()
        for name in rig.names():
            rig.delete(name)
        eventually(lambda: not rig.names(), PATIENCE, interval=0.2)
        assert rig.oracle.containers(rig.namespace) == []
        assert not rig.oracle.violations, rig.oracle.violations

    def _edit(self, name: str, **spec: object) -> None:
        with contextlib.suppress(LookupError):
            self.rig.edit(name, **spec)


def _fuzz(rig: Rig, runs: int, *, new: bool) -> None:
    """`new`: other runs each time; else always the same ones."""
    run_state_machine_as_test(
        type("Runs", (RealFuzz,), {"rig": rig, "TestCase": None}),
        settings=settings(
            max_examples=runs,
            stateful_step_count=10,
            deadline=None,
            database=None,
            derandomize=not new,
            phases=[Phase.generate],  # to try fewer steps again and again would take hours here
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_after_any_random_run_all_is_as_declared(rig: Rig) -> None:
    _fuzz(rig, 10, new=False)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_after_many_random_runs_all_is_as_declared(rig: Rig) -> None:
    _fuzz(rig, 40, new=True)
