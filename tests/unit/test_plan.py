"""The decision table of the design, cell by cell, and what surrounds it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

import pytest

from controller import actions as act
from controller import naming
from controller.api import WorkspaceStatus
from controller.errors import ConfigurationError, EngineError, ImageUnavailable, PolicyViolation, PortInUse
from controller.happenings import of_action
from controller.history import Failure, History, Sent, sent_now
from controller.observed import Container, ContainerState, Health, Limits
from controller.plan import Plan, plan
from tests.unit.pairs import NOW, T0, container, desired, history, memory, observed

STATES = ("Running", "Paused", "Stopped")
REPLACEMENT = ["EnsureImage", "Create", "Rename", "Signal", "Rename"]
CREATED, RUNNING, PAUSED, EXITED = (
    ContainerState.CREATED,
    ContainerState.RUNNING,
    ContainerState.PAUSED,
    ContainerState.EXITED,
)


def kinds(decided: Plan) -> list[str]:
    return [action.kind for action in decided.actions]


TABLE = {
    ("Running", None): ["EnsureImage", "Create", "Start"],
    ("Running", CREATED): ["Start"],
    ("Running", RUNNING): [],
    ("Running", PAUSED): ["Unpause"],
    ("Running", EXITED): ["Start"],
    ("Running", ContainerState.DEAD): ["Remove"],
    ("Running", ContainerState.REMOVING): ["Remove"],
    ("Paused", None): ["EnsureImage", "Create", "Start", "Pause"],
    ("Paused", CREATED): ["Start", "Pause"],
    ("Paused", RUNNING): ["Pause"],
    ("Paused", PAUSED): [],
    ("Paused", EXITED): ["Start", "Pause"],
    ("Paused", ContainerState.DEAD): ["Remove"],
    ("Stopped", None): [],
    ("Stopped", CREATED): [],
    ("Stopped", RUNNING): ["Signal"],
    ("Stopped", PAUSED): ["Unpause", "Signal"],
    ("Stopped", EXITED): [],
    ("Stopped", ContainerState.DEAD): ["Remove"],
}


@pytest.mark.parametrize(("state", "found"), TABLE, ids=lambda value: str(value).lower())
def test_each_cell_of_the_table(state: str, found: ContainerState | None) -> None:
    wanted = desired({"desiredState": state})
    there = () if found is None else (container(wanted, found),)
    assert kinds(plan(wanted, observed(*there), history(), NOW)) == TABLE[(state, found)]


@pytest.mark.parametrize(
    ("found", "steps"),
    [
        (None, ["RemoveFinalizer"]),
        (CREATED, ["Remove"]),
        (RUNNING, ["Signal"]),
        (PAUSED, ["Remove"]),
        (EXITED, ["Remove"]),
        (ContainerState.DEAD, ["Remove"]),
    ],
)
def test_a_deleted_workspace_loses_its_container_then_its_finalizer(
    found: ContainerState | None, steps: list[str]
) -> None:
    wanted = desired(deletionTimestamp="2026-01-01T12:30:00Z")
    there = () if found is None else (container(wanted, found),)
    assert kinds(plan(wanted, observed(*there), history(), NOW)) == steps


@pytest.mark.parametrize("state", STATES)
def test_an_unknown_host_is_left_alone_whatever_was_seen_of_it(state: str) -> None:
    wanted = desired({"desiredState": state})
    for there in ((), (container(wanted),)):
        decided = plan(wanted, observed(*there, known=False), history(), NOW)
        assert decided.actions == ()
        assert decided.wake_at is not None


def test_abandoning_lets_go_only_while_the_host_is_unknown() -> None:
    wanted = desired(deletionTimestamp="2026-01-01T12:30:00Z", annotations={naming.ANNOTATION_ABANDON: "true"})
    assert kinds(plan(wanted, observed(known=False), history(), NOW)) == ["RemoveFinalizer"]
    assert kinds(plan(wanted, observed(container(wanted, EXITED)), history(), NOW)) == ["Remove"]


def test_the_finalizer_comes_before_anything_is_made() -> None:
    wanted = desired(finalizers=[])
    assert kinds(plan(wanted, observed(), history(), NOW)) == ["AddFinalizer", "EnsureImage", "Create", "Start"]


def test_changed_limits_are_set_in_place() -> None:
    wanted = desired()
    less = replace(wanted.container.limits, memory=64 << 20, memory_swap=64 << 20)
    decided = plan(wanted, observed(container(wanted, limits=less)), history(), NOW)
    assert kinds(decided) == ["Update"]
    assert "memory" in str(decided)


def test_limits_that_the_host_does_not_enforce_are_no_drift() -> None:
    wanted = desired()
    shown = replace(wanted.container.limits, memory_swap=-1)
    there = observed(container(wanted, limits=shown), ignored_limits=frozenset({"memory_swap"}))
    assert plan(wanted, there, history(), NOW).actions == ()


def test_a_renamed_container_gets_its_name_back_in_place() -> None:
    wanted = desired()
    assert kinds(plan(wanted, observed(container(wanted, name="hand-made")), history(), NOW)) == ["Rename"]


def test_dockers_own_restart_policy_is_switched_off() -> None:
    wanted = desired()
    assert kinds(plan(wanted, observed(container(wanted, restart_policy="always")), history(), NOW)) == ["Update"]


def test_a_workspace_always_asks_for_the_same_name() -> None:
    assert desired().container_name == desired().container_name


class TestReplacement:
    """A change that needs a new container: the new one is made first, the old one stops, then the new one starts."""

    def test_the_new_container_is_made_while_the_old_one_runs(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired())
        decided = plan(wanted, observed(old), history(), NOW)
        assert kinds(decided) == REPLACEMENT
        name = wanted.container_name
        assert [str(a).split(":")[0] for a in decided.actions if a.kind in ("Create", "Rename")] == [
            f"Create {name}{naming.NEXT_SUFFIX} from new",
            f"Rename {old.id[:12]} to {name}{naming.OLD_SUFFIX}",
            f"Rename the new container to {name}",
        ]
        assert [a.alongside for a in decided.actions if isinstance(a, act.Rename)] == [True, False]
        assert not any(list(of_action(WorkspaceStatus(), a)) for a in decided.actions if a.kind == "Rename")

    def test_where_none_could_be_made_the_old_one_gets_its_name_back(self) -> None:
        wanted = desired({"image": "new"}, generation=2)
        old = container(desired(), name=wanted.container_name + naming.OLD_SUFFIX)
        failed = memory(failures={"Create": Failure(EngineError("no space left"), 1, NOW.mono + 5)})
        waiting = plan(wanted, observed(old), history(memory=failed), NOW)
        assert [str(a).split(":")[0] for a in waiting.actions] == [f"Rename {old.id[:12]} to {wanted.container_name}"]
        assert waiting.wake_at == NOW.mono + 5
        again = plan(wanted, observed(old), history(), NOW)
        assert kinds(again) == ["Rename", "EnsureImage", "Create", "Rename", "Signal", "Rename"]
        back = plan(desired(), observed(old), history(), NOW)
        assert kinds(back) == ["Rename"]

    def test_a_name_that_one_who_is_dead_has_is_left_for_later(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired())
        for suffix in (naming.OLD_SUFFIX, ""):
            there = replace(old, name=wanted.container_name + (naming.NEXT_SUFFIX if not suffix else ""))
            dead = replace(old, id="dead", name=wanted.container_name + suffix, state=ContainerState.DEAD)
            decided = plan(wanted, observed(there, dead), history(), NOW)
            assert kinds(decided) == ["EnsureImage", "Create", "Signal", "Remove"]

    def test_a_frozen_old_one_is_thawed_first(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired(), PAUSED)
        decided = plan(wanted, observed(old), history(), NOW)
        assert kinds(decided) == ["EnsureImage", "Create", "Rename", "Unpause", "Signal", "Rename"]

    def test_then_the_old_one_is_stopped_with_its_grace_period(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired())
        new = container(wanted, CREATED, id="new", name=wanted.container_name + naming.NEXT_SUFFIX)
        assert kinds(plan(wanted, observed(new, old), history(), NOW)) == ["Signal"]
        sent = memory(signalled={old.id: Sent(NOW.mono - 3, True, old.started_at)})
        waiting = plan(wanted, observed(new, old), history(memory=sent), NOW)
        assert waiting.actions == ()
        assert waiting.wake_at == NOW.mono + 7

    def test_then_the_new_one_takes_its_name_and_starts_and_only_then_the_old_one_is_removed(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired(), EXITED)
        name = wanted.container_name
        new = container(wanted, CREATED, id="new", name=name + naming.NEXT_SUFFIX)
        started = plan(wanted, observed(new, old), history(), NOW)
        assert [str(a).split(":")[0] for a in started.actions] == [
            f"Rename {old.id[:12]} to {name}{naming.OLD_SUFFIX}", f"Rename new to {name}", "Start new",
        ]  # fmt: skip
        assert not any(list(of_action(WorkspaceStatus(), a)) for a in started.actions if a.kind == "Rename")
        new, old = replace(new, name=name, state=RUNNING), replace(old, name=name + naming.OLD_SUFFIX)
        assert kinds(plan(wanted, observed(new, old), history(), NOW)) == ["Remove"]
        assert kinds(plan(wanted, observed(new), history(), NOW)) == []

    def test_a_name_that_cant_be_had_keeps_nothing_from_starting(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired(), EXITED)
        new = container(wanted, CREATED, id="new", name=wanted.container_name + naming.NEXT_SUFFIX)
        older = container(desired(), EXITED, id="older", name=wanted.container_name + naming.OLD_SUFFIX)
        assert kinds(plan(wanted, observed(new, old, older), history(), NOW)) == ["Start"]
        dead = replace(old, state=ContainerState.DEAD)
        assert kinds(plan(wanted, observed(new, dead), history(), NOW)) == ["Start", "Remove"]
        running = replace(new, state=RUNNING)
        assert kinds(plan(wanted, observed(running, old, older), history(), NOW)) == ["Remove", "Remove"]
        assert kinds(plan(wanted, observed(running), history(), NOW)) == ["Rename"]

    def test_the_removal_is_told_of_before_it_begins(self) -> None:
        wanted, old = desired({"image": "new"}, generation=2), container(desired(), EXITED)
        new = container(wanted, RUNNING, id="new")
        assert plan(wanted, observed(new, old), history(), NOW).tidies
        assert not plan(wanted, observed(new, replace(old, state=RUNNING)), history(), NOW).tidies
        changed_again = desired({"image": "newer"}, generation=3)
        assert not plan(changed_again, observed(new, old), history(), NOW).tidies

    def test_where_the_new_one_cant_be_started_the_old_one_is_kept(self) -> None:
        wanted, name = desired({"image": "new"}, generation=2), desired().container_name
        old = container(desired(), EXITED, name=name + naming.OLD_SUFFIX)
        new = container(wanted, CREATED, id="new", name=name)
        failed = memory(failures={"Start": Failure(PortInUse("taken"), 1, NOW.mono + 5)})
        waiting = plan(wanted, observed(new, old), history(memory=failed), NOW)
        assert waiting.actions == ()
        assert waiting.wake_at == NOW.mono + 5
        back = plan(desired(), observed(old, new), history(), NOW)
        assert kinds(back) == ["Rename", "Rename", "Start"]
        assert str(back).splitlines()[-1].startswith(f"3. Start {old.id[:12]}")

    def test_a_successor_that_is_not_to_run_only_takes_the_place(self) -> None:
        wanted, old = desired({"image": "new", "desiredState": "Stopped"}, generation=2), container(desired(), EXITED)
        new = container(wanted, CREATED, id="new")
        assert kinds(plan(wanted, observed(new, old), history(), NOW)) == ["Remove"]

    @pytest.mark.parametrize(
        ("policy", "steps"),
        [("Recreate", REPLACEMENT), ("OnRestart", []), ("Manual", [])],
    )
    def test_the_update_policy_says_when(self, policy: str, steps: list[str]) -> None:
        wanted, old = desired({"image": "new", "updatePolicy": policy}, generation=2), container(desired())
        decided = plan(wanted, observed(old), history(), NOW)
        assert kinds(decided) == steps
        assert decided.pending

    @pytest.mark.parametrize(("policy", "replaced"), [("Recreate", True), ("OnRestart", True), ("Manual", False)])
    def test_an_exit_is_a_restart_to_onrestart_but_not_to_manual(self, policy: str, replaced: bool) -> None:
        wanted, old = desired({"image": "new", "updatePolicy": policy}), container(desired(), EXITED)
        assert kinds(plan(wanted, observed(old), history(), NOW)) == (
            ["EnsureImage", "Create", "Rename", "Rename"] if replaced else ["Start"]
        )

    def test_a_restart_request_applies_what_manual_held_back(self) -> None:
        wanted = desired(
            {"image": "new", "updatePolicy": "Manual"}, annotations={naming.ANNOTATION_RESTARTED_AT: "now"}
        )
        decided = plan(wanted, observed(container(desired())), history(), NOW)
        assert kinds(decided) == ["RecordRestart", *REPLACEMENT]

    def test_a_changed_secret_waits_for_a_restart_and_is_named(self) -> None:
        wanted = desired({"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]})
        there = container(wanted)
        there = replace(there, labels={**there.labels, naming.LABEL_REFERENCES: "Secret/s=u:1"})
        remembered = memory(references={"Secret/s": "u:2"})
        decided = plan(wanted, observed(there), history(memory=remembered), NOW)
        assert decided.actions == ()
        assert "Secret/s" in decided.pending[0]

    def test_a_restart_picks_the_changed_secret_up(self) -> None:
        spec = {"env": [{"name": "T", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}
        wanted = desired(spec, annotations={naming.ANNOTATION_RESTARTED_AT: "now"})
        old = container(wanted, labels={**dict(wanted.container.labels), naming.LABEL_REFERENCES: "Secret/s=u:1"})
        new = replace(
            old, id="new", state=CREATED, started_at=None,
            labels={**old.labels, naming.LABEL_REFERENCES: "Secret/s=u:2"},
        )  # fmt: skip
        known = history(memory=memory(references={"Secret/s": "u:2"}))
        assert kinds(plan(wanted, observed(old), known, NOW)) == ["RecordRestart", *REPLACEMENT]
        assert str(plan(wanted, observed(old, new), known, NOW)).count(old.id[:12]) == 1


class TestMoreThanOne:
    """Duplicates, however they came about."""

    def test_the_one_whose_hash_fits_stays(self) -> None:
        wanted = desired()
        fits = container(wanted, EXITED, id="fits")
        other = container(desired({"image": "other"}), id="other")
        decided = plan(wanted, observed(other, fits), history(), NOW)
        assert [str(a).split(":")[0] for a in decided.actions] == ["Signal SIGTERM to other"]

    def test_of_two_that_fit_the_running_one_stays(self) -> None:
        wanted = desired()
        there = observed(container(wanted, EXITED, id="exited"), container(wanted, id="running"))
        assert "Remove exited" in str(plan(wanted, there, history(), NOW))

    def test_of_two_that_run_the_older_one_stays(self) -> None:
        wanted = desired()
        younger = container(wanted, id="younger", created_at=T0 + timedelta(minutes=2))
        assert "to younger" in str(plan(wanted, observed(younger, container(wanted)), history(), NOW))

    @pytest.mark.parametrize("state", [RUNNING, PAUSED, ContainerState.RESTARTING])
    def test_nothing_is_started_before_the_rest_has_ended(self, state: ContainerState) -> None:
        wanted, old = desired(), container(desired({"image": "b"}), state, id="b")
        there = observed(container(wanted, CREATED, id="a"), old)
        assert not {"Start", "Remove"} & set(kinds(plan(wanted, there, history(), NOW)))

    def test_a_restart_that_was_not_recorded_yet_waits_until_the_rest_is_gone(self) -> None:
        wanted = desired(annotations={naming.ANNOTATION_RESTARTED_AT: "now"})
        there = observed(container(wanted, CREATED, id="a"), container(desired({"image": "b"}), EXITED, id="b"))
        assert kinds(plan(wanted, there, history(), NOW)) == ["Remove"]


class TestStopping:
    """The stop signal is sent once; SIGKILL follows the grace period; nobody waits for it."""

    def stopping(self, ago: float) -> Plan:
        wanted = desired({"desiredState": "Stopped", "terminationGracePeriodSeconds": 600})
        there = container(wanted, stop_signal="SIGINT")
        sent = memory(signalled={there.id: Sent(NOW.mono - ago, True, there.started_at)})
        return plan(wanted, observed(there), history(memory=sent), NOW)

    def test_the_images_own_signal_is_sent(self) -> None:
        wanted = desired({"desiredState": "Stopped"})
        assert "SIGINT" in str(plan(wanted, observed(container(wanted, stop_signal="SIGINT")), history(), NOW))

    def test_until_the_end_of_the_grace_period_nothing_is_done(self) -> None:
        decided = self.stopping(ago=5)
        assert decided.actions == ()
        assert decided.wake_at == NOW.mono + 595

    def test_then_it_is_killed(self) -> None:
        assert kinds(self.stopping(ago=600)) == ["Kill"]

    def test_a_signal_right_after_the_start_is_sent_once_more(self) -> None:
        wanted = desired({"desiredState": "Stopped"})
        there = container(wanted)
        early = Sent(NOW.mono - 2, True, there.started_at, early=True)
        again = plan(wanted, observed(there), history(memory=memory(signalled={there.id: early})), NOW)
        assert kinds(again) == ["Signal"]
        then = sent_now(there, memory(signalled={there.id: early}), True, NOW)
        assert (then.at, then.early) == (early.at, False)

    def test_a_signal_to_an_earlier_run_does_not_count(self) -> None:
        wanted = desired({"desiredState": "Stopped"})
        there = container(wanted)
        sent = memory(signalled={there.id: Sent(0, True, T0)})
        assert kinds(plan(wanted, observed(there), history(memory=sent), NOW)) == ["Signal"]


class TestRestartRequest:
    """kubectl's way of asking for a restart: an annotation whose value changes."""

    def asked(self, known: str | None = "", **changes: object) -> tuple[Container, History, Plan]:
        wanted = desired(annotations={naming.ANNOTATION_RESTARTED_AT: "2026-01-01T13:00:00Z"})
        there = container(wanted)
        before = history(last_restart_request=known, **changes)
        return there, before, plan(wanted, observed(there), before, NOW)

    def test_it_is_recorded_before_anything_is_stopped(self) -> None:
        assert kinds(self.asked()[2]) == ["RecordRestart", "Signal"]

    def test_it_is_recorded_before_all_that_could_fail_for_it_lets_all_be_tried_at_once(self) -> None:
        wanted = desired(finalizers=[], annotations={naming.ANNOTATION_RESTARTED_AT: "now"})
        decided = plan(wanted, observed(container(wanted)), history(), NOW)
        assert kinds(decided) == ["RecordRestart", "AddFinalizer", "Signal"]

    def test_a_value_that_is_there_at_first_sight_is_not_acted_on(self) -> None:
        assert self.asked(known=None)[2].actions == ()

    def test_the_same_value_is_not_acted_on_twice(self) -> None:
        assert self.asked(known="2026-01-01T13:00:00Z")[2].actions == ()

    def test_a_recorded_request_goes_on_while_the_old_run_does(self) -> None:
        there, _, _ = self.asked()
        decided = self.asked(known="2026-01-01T13:00:00Z", restarting=True, started_at=there.started_at)[2]
        assert kinds(decided) == ["Signal"]

    def test_and_is_done_once_another_run_goes_on(self) -> None:
        assert self.asked(known="2026-01-01T13:00:00Z", restarting=True, started_at=T0)[2].actions == ()

    def test_a_stopped_workspace_is_not_started_by_it(self) -> None:
        wanted = desired({"desiredState": "Stopped"}, annotations={naming.ANNOTATION_RESTARTED_AT: "x"})
        assert plan(wanted, observed(container(wanted, EXITED)), history(), NOW).actions == ()


class TestRetriesSpent:
    """The fallback action."""

    spec: ClassVar = {"recovery": {"maxRetries": 1, "resetAfterSeconds": 86400, "fallbackAction": "Remove"}}

    def test_the_status_says_it_before_the_container_goes(self) -> None:
        wanted = desired(self.spec)
        decided = plan(wanted, observed(container(wanted, EXITED)), history(retries=1), NOW)
        assert decided.actions == ()
        assert decided.wake_at is not None
        assert decided.accounting is not None
        assert decided.accounting.exhausted

    def test_then_the_container_goes_and_none_follows(self) -> None:
        wanted, given_up = desired(self.spec), history(retries=1, exhausted=True)
        assert kinds(plan(wanted, observed(container(wanted, EXITED)), given_up, NOW)) == ["Remove"]
        assert plan(wanted, observed(), given_up, NOW).actions == ()


class TestRefusals:
    """What the host's policy refuses is not made; what runs already is reported, or stopped where it says so."""

    def test_nothing_is_made(self) -> None:
        wanted = replace(desired(), refusal=PolicyViolation("spec.image: no"))
        decided = plan(wanted, observed(), history(), NOW)
        assert decided.actions == ()
        assert "spec.image" in str(decided)

    def test_a_running_container_stays(self) -> None:
        wanted = replace(desired(), refusal=PolicyViolation("no"))
        assert plan(wanted, observed(container(wanted)), history(), NOW).actions == ()

    def test_so_does_one_whose_probe_fails_for_it_would_not_be_started_again(self) -> None:
        wanted = replace(desired(), refusal=PolicyViolation("no"))
        there = container(wanted, health=Health.UNHEALTHY)
        assert plan(wanted, observed(there), history(), NOW).actions == ()

    def test_unless_the_policy_is_enforced_by_stopping(self) -> None:
        wanted = replace(desired(), refusal=PolicyViolation("no"), stop_refused=True)
        assert kinds(plan(wanted, observed(container(wanted)), history(), NOW)) == ["Signal"]

    def test_what_it_stopped_did_not_end_by_itself(self) -> None:
        wanted = replace(desired(), refusal=PolicyViolation("no"), stop_refused=True)
        decided = plan(wanted, observed(container(wanted, EXITED)), history(), NOW)
        assert decided.accounting is not None
        assert decided.accounting.restart_count == 0

    def test_an_exited_one_is_not_started(self) -> None:
        wanted = replace(desired(), refusal=PolicyViolation("no"))
        assert plan(wanted, observed(container(wanted, EXITED)), history(), NOW).actions == ()


class TestFailures:
    """A step that failed isn't tried before its time, nor is what only prepares it; the rest goes on."""

    def test_a_failed_create_waits_and_pulls_nothing_meanwhile(self) -> None:
        failed = memory(failures={"Create": Failure(EngineError("x"), 1, NOW.mono + 9)})
        decided = plan(desired(), observed(), history(memory=failed), NOW)
        assert decided.actions == ()
        assert decided.wake_at == NOW.mono + 9

    def test_a_failed_first_start_makes_no_container_meanwhile(self) -> None:
        failed = memory(failures={"Start": Failure(PortInUse("x"), 1, NOW.mono + 9)})
        assert plan(desired(), observed(), history(memory=failed), NOW).actions == ()

    def test_a_restart_that_is_asked_for_now_does_not_wait_for_it(self) -> None:
        failed = memory(failures={"EnsureImage": Failure(ImageUnavailable("x"), 5, NOW.mono + 300)})
        wanted = desired(annotations={naming.ANNOTATION_RESTARTED_AT: "now"})
        decided = plan(wanted, observed(), history(memory=failed), NOW)
        assert kinds(decided) == ["RecordRestart", "EnsureImage", "Create", "Start"]

    def test_when_its_time_has_come_it_is_tried(self) -> None:
        failed = memory(failures={"EnsureImage": Failure(ImageUnavailable("x"), 1, NOW.mono)})
        assert kinds(plan(desired(), observed(), history(memory=failed), NOW))[0] == "EnsureImage"

    def test_limits_that_were_refused_do_not_hold_back_a_start(self) -> None:
        wanted = desired()
        failed = memory(failures={"Update": Failure(EngineError("x"), 1, NOW.mono + 9)})
        there = container(wanted, EXITED, limits=Limits(1, 1, 1, 1, 1, 1))
        decided = plan(wanted, observed(there), history(memory=failed), NOW)
        assert kinds(decided) == ["Start"]
        assert decided.wake_at == NOW.mono + 9


class TestUnhealthy:
    """A probe that fails makes the container be restarted as if it had exited by itself."""

    def test_it_is_stopped_and_its_exit_will_count(self) -> None:
        wanted = desired()
        decided = plan(wanted, observed(container(wanted, health=Health.UNHEALTHY)), history(), NOW)
        assert kinds(decided) == ["Signal"]
        assert decided.actions[0].asked is False  # type: ignore[attr-defined]


def test_a_plan_reads_like_a_list_of_steps() -> None:
    text = str(plan(desired(finalizers=[]), observed(), history(), NOW))
    assert text.splitlines() == [
        "1. AddFinalizer: a delete must wait for the container's removal",
        "2. EnsureImage alpine:latest: imagePullPolicy is IfNotPresent",
        "3. Create ws-team-a-shop-0e984725 from alpine:latest: there is no container",
        "4. Start the new container: it should run",
    ]


def refused_signal() -> dict[str, Failure]:
    return {"Signal": Failure(ConfigurationError("Invalid signal: SIGNOPE"), 1, NOW.mono + 10)}


@pytest.mark.parametrize("state", ["Stopped", "deleted"])
def test_a_stop_signal_that_the_engine_refuses_is_followed_by_sigkill(state: str) -> None:
    wanted = (
        desired(deletionTimestamp="2026-01-01T12:30:00Z") if state == "deleted" else desired({"desiredState": state})
    )
    it = container(desired(), stop_signal="SIGNOPE")
    assert kinds(plan(wanted, observed(it), history(), NOW)) == ["Signal"]
    assert kinds(plan(wanted, observed(it), history(memory=memory(failures=refused_signal())), NOW)) == ["Kill"]


def test_a_stop_that_the_policy_enforces_waits_for_no_long_grace_period() -> None:
    wanted = replace(
        desired({"terminationGracePeriodSeconds": 3600}), refusal=PolicyViolation("image"), stop_refused=True
    )
    it = container(desired())
    sent = {it.id: Sent(NOW.mono - 11, True, it.started_at)}
    assert kinds(plan(wanted, observed(it), history(memory=memory(signalled=sent)), NOW)) == ["Kill"]
    asked = desired({"terminationGracePeriodSeconds": 3600, "desiredState": "Stopped"})
    assert kinds(plan(asked, observed(it), history(memory=memory(signalled=sent)), NOW)) == []
