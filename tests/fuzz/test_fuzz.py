"""Random edits, deletes, by-hand changes, faults and crashes, in virtual time: what must always be true stays true.

A failing run prints its steps; they are kept in `test_found.py`.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from controller import naming
from controller.engine.memory_registry import Program
from controller.errors import ContainerGone, EngineConflict, EngineError
from controller.observed import ContainerState, Health
from tests.fuzz.apiserver import Object
from tests.fuzz.world import NAMESPACE, World, settle

NAMES = st.sampled_from(["a", "b"])
PAUSES = st.sampled_from([0.0, 0.02, 0.15, 0.6, 2.0, 5.0, 12.0, 40.0])
STATES = st.sampled_from(["Running", "Running", "Paused", "Stopped"])
CALLS = st.sampled_from(
    ["list", "inspect", "create", "start", "signal", "remove", "rename", "update", "pause", "unpause", "image"]
)
NUMBERS = st.integers(0, 11)
PEACE = 60.0  # virtual seconds in which nothing may be written or changed once all has converged
LONGEST = 420.0  # the longest back-off (300 s), and what must follow it


class Fuzz(RuleBasedStateMachine):
    """One world; each rule does one thing, then lets some time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.world.host.add_image("stubborn:1", Program(ignores=frozenset({"SIGTERM"})))
        self.world.host.add_image("other:1")
        self._edits = 0

    # users

    @rule(name=NAMES, state=STATES, image=st.sampled_from(["alpine:latest", "stubborn:1"]), pause=PAUSES)
    def create(self, name: str, state: str, image: str, pause: float) -> None:
        spec = {"desiredState": state, "image": image, "terminationGracePeriodSeconds": 5}
        self.world.api.create("Workspace", NAMESPACE, name, spec)
        self.world.go(pause)

    @rule(name=NAMES, pause=PAUSES)
    def delete(self, name: str, pause: float) -> None:
        self.world.api.delete("Workspace", NAMESPACE, name)
        self.world.go(pause)

    @rule(name=NAMES, state=STATES, pause=PAUSES)
    def set_state(self, name: str, state: str, pause: float) -> None:
        self._edit(name, pause, lambda raw: raw["spec"].update(desiredState=state))

    @rule(name=NAMES, image=st.sampled_from(["alpine:latest", "stubborn:1", "other:1"]), pause=PAUSES)
    def set_image(self, name: str, image: str, pause: float) -> None:
        self._edit(name, pause, lambda raw: raw["spec"].update(image=image))

    @rule(name=NAMES, memory=st.sampled_from(["64Mi", "128Mi"]), pause=PAUSES)
    def set_limits(self, name: str, memory: str, pause: float) -> None:
        self._edit(name, pause, lambda raw: raw["spec"].update(resources={"limits": {"memory": memory}}))

    @rule(name=NAMES, fallback=st.sampled_from(["Stop", "Remove", "Ignore"]), retries=st.integers(1, 3), pause=PAUSES)
    def set_recovery(self, name: str, fallback: str, retries: int, pause: float) -> None:
        recovery = {"maxRetries": retries, "fallbackAction": fallback}
        self._edit(name, pause, lambda raw: raw["spec"].update(recovery=recovery))

    @rule(name=NAMES, pause=PAUSES)
    def ask_for_restart(self, name: str, pause: float) -> None:
        self._edits += 1
        at = f"2030-01-01T00:00:{self._edits:02d}Z"
        self._annotate(name, naming.ANNOTATION_RESTARTED_AT, at, pause)

    @rule(name=NAMES, pause=PAUSES)
    def touch(self, name: str, pause: float) -> None:
        """Another writer's field: a conflict for a write that is under way."""
        self._edits += 1
        self._annotate(name, "someone.else/field", str(self._edits), pause)

    # people on the host

    @rule(
        what=st.sampled_from(["kill", "stop", "pause", "unpause", "remove", "oom", "start", "unhealthy"]),
        number=NUMBERS,
        pause=PAUSES,
    )
    def by_hand(self, what: str, number: int, pause: float) -> None:
        container = self._container(number)
        if container is None:
            return
        host = self.world.host
        host.by_hand = True
        try:
            if what == "unhealthy":
                if host.find(container).shown.state is ContainerState.RUNNING:
                    host.set_health(container, Health.UNHEALTHY)
            else:
                getattr(host, what)(container)
        except (EngineConflict, ContainerGone):
            pass
        finally:
            host.by_hand = False
        self.world.go(pause)

    @rule(number=NUMBERS, to=st.sampled_from(["x", "y"]), pause=PAUSES)
    def rename_by_hand(self, number: int, to: str, pause: float) -> None:
        container, host = self._container(number), self.world.host
        if container is not None and to not in host.names:
            host.rename(container, to)
        self.world.go(pause)

    @rule(number=NUMBERS, stuck=st.booleans(), dead=st.booleans(), pause=PAUSES)
    def stick(self, number: int, stuck: bool, dead: bool, pause: float) -> None:
        container = self._container(number)
        if container is not None and stuck:
            self.world.host.stick(container, dead=dead)
        elif container is not None:
            self.world.host.unstick(container)
        self.world.go(pause)

    @rule(name=NAMES, copies=st.booleans(), pause=PAUSES)
    def foreign(self, name: str, copies: bool, pause: float) -> None:
        """A container that isn't ours: has the name that we want, or carries our labels without the cluster's ID."""
        found, host = self.world.get(name), self.world.host
        if found is None:
            return
        uid = found["metadata"]["uid"]
        wanted = naming.container_name(NAMESPACE, name, uid) if not copies else f"copy-of-{name}"
        labels = {naming.LABEL_UID: uid, naming.LABEL_NAME: name} if copies else {}
        if wanted in host.names:
            return
        host.by_hand = True
        container = host.run(wanted, labels)
        host.by_hand = False
        host.foreign[container] = (wanted, host.find(container).shown.started_at)
        self.world.go(pause)

    # faults

    @rule(call=CALLS, times=st.integers(1, 3), took_effect=st.booleans(), pause=PAUSES)
    def docker_fails(self, call: str, times: int, took_effect: bool, pause: float) -> None:
        self.world.host.faults.fail(call, EngineError("injected"), times, took_effect=took_effect)
        self.world.go(pause)

    @rule(call=CALLS, took_effect=st.booleans(), pause=PAUSES)
    def docker_hangs(self, call: str, took_effect: bool, pause: float) -> None:
        self.world.host.faults.hang(call, took_effect=took_effect)
        self.world.go(pause)

    @rule(call=CALLS, seconds=st.sampled_from([0.0, 0.05, 0.5, 3.0]))
    def docker_is_slow(self, call: str, seconds: float) -> None:
        self.world.host.faults.latency[call] = seconds

    @rule(what=st.sampled_from(["cut", "shut_down", "come_back", "end_streams", "deafen"]), pause=PAUSES)
    def host_trouble(self, what: str, pause: float) -> None:
        host = self.world.host
        host.by_hand = True
        getattr(host, what)()
        host.by_hand = False
        self.world.go(pause)

    @rule(down=st.booleans(), pause=PAUSES)
    def api_server(self, down: bool, pause: float) -> None:
        api = self.world.api
        api.down = down
        api.silent = down
        if not down:
            api.tell_all()
        self.world.go(pause)

    @rule(silent=st.booleans(), pause=PAUSES)
    def watch(self, silent: bool, pause: float) -> None:
        self.world.api.silent = silent
        self.world.go(pause)

    @rule(count=st.integers(1, 2), pause=PAUSES)
    def replies_are_lost(self, count: int, pause: float) -> None:
        self.world.api.lost_replies = count
        self.world.go(pause)

    @rule(pause=PAUSES)
    def crash(self, pause: float) -> None:
        self.world.crash()
        self.world.go(pause)

    @rule(call=st.integers(0, 6), after=st.booleans(), pause=PAUSES)
    def crash_at(self, call: int, after: bool, pause: float) -> None:
        self.world.crash_at(call, after=after)
        self.world.go(pause)

    @precondition(lambda self: self.world.controller.dead)
    @rule(pause=PAUSES)
    def start(self, pause: float) -> None:
        self.world.start()
        self.world.go(pause)

    @rule(pause=PAUSES)
    def wait(self, pause: float) -> None:
        self.world.go(pause)

    # what must hold

    @invariant()
    def nothing_is_broken(self) -> None:
        assert not self.world.host.violations, self.world.host.violations
        for container, (name, started) in self.world.host.foreign.items():
            shown = self.world.host.find(container).shown
            assert (shown.name, shown.started_at) == (name, started), "S2"

    def teardown(self) -> None:
        try:
            if not self.world.host.violations:
                self._heal()
                settle(self.world, self._converged, LONGEST)
                self._stay_at_peace()
        finally:
            self.world.close()

    def _heal(self) -> None:
        """All faults end; the foreign containers go."""
        world = self.world
        world._fatal = None
        world.api.down, world.api.silent, world.api.lost_replies = False, False, 0
        world.start()
        host = world.host
        host.faults.heal()
        for container in host.containers.values():
            container.stuck = False
        host.by_hand = True
        for foreign in host.foreign:
            host.remove(foreign)
        host.foreign.clear()
        host.by_hand = False

    def _converged(self) -> None:
        assert not self.world.host.violations, self.world.host.violations
        self.world.host.check_converged()

    def _stay_at_peace(self) -> None:
        self.world.go(25.0)
        calls, writes = len(self.world.calls), len(self.world.api.writes)
        self.world.go(PEACE)
        assert not self.world.calls[calls:], f"S7: {self.world.calls[calls:]}"
        assert not self.world.api.writes[writes:], f"S7: {self.world.api.writes[writes:]}"
        self._converged()

    # helpers

    def _edit(self, name: str, pause: float, change: Any) -> None:
        self.world.api.edit("Workspace", NAMESPACE, name, change)
        self.world.go(pause)

    def _annotate(self, name: str, key: str, value: str, pause: float) -> None:
        def change(raw: Object) -> None:
            raw["metadata"].setdefault("annotations", {})[key] = value

        self._edit(name, pause, change)

    def _container(self, number: int) -> str | None:
        """One of our containers."""
        ours = [c.shown.id for c in self.world.host.containers.values() if c.shown.id not in self.world.host.foreign]
        return ours[number % len(ours)] if ours else None


TestFuzz = Fuzz.TestCase
TestFuzz.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
