"""What makes the controller unready, and what makes it worth a restart."""

import math
from collections.abc import Collection
from dataclasses import replace

from controller.health import ANSWERS, Facts, HostState, Missed, WatchState, as_text, liveness, passed, readiness

WELL = Facts(
    api_age=1.0,
    watching=True,
    leading=True,
    loop_lag=0.001,
    watches={"Workspace": WatchState(synced=True, list_age=3.0, event_age=8.0)},
    hosts={"default": HostState(contact_age=2.0)},
)
STALE = {"Workspace": WatchState(synced=True, list_age=3.0, event_age=100.0, stale_for=61.0)}

Key = tuple[str, str]
A, B = ("team", "a"), ("team", "b")


def test_all_well_is_alive_and_ready() -> None:
    assert passed(liveness(WELL))
    assert passed(readiness(WELL))


def test_an_outage_of_the_api_server_is_unready_but_alive() -> None:
    facts = replace(WELL, api_age=ANSWERS + 1, watches=STALE)
    assert passed(liveness(facts))
    assert not passed(readiness(facts))


def test_an_api_server_that_only_the_lists_ask_is_no_outage() -> None:
    """Without a readiness probe: between two lists nothing is asked of it."""
    assert not passed(liveness(replace(WELL, api_age=19.9, watches=STALE)))


def test_an_outage_of_less_than_15_seconds_changes_nothing() -> None:
    assert passed(readiness(replace(WELL, api_age=14.0)))


def test_a_stale_watch_beside_an_api_server_that_answers_is_worth_a_restart() -> None:
    facts = replace(WELL, watches=STALE)
    assert not passed(liveness(facts))
    assert not passed(readiness(facts))


def test_a_watch_that_is_behind_for_less_than_a_minute_may_catch_up() -> None:
    watch = replace(STALE["Workspace"], stale_for=59.0)
    assert passed(liveness(replace(WELL, watches={"Workspace": watch})))


def test_before_the_first_list_it_is_alive_but_not_ready() -> None:
    facts = replace(WELL, watches={"Workspace": WatchState(synced=False, list_age=math.inf, event_age=math.inf)})
    assert passed(liveness(facts))
    assert not passed(readiness(facts))


def test_a_dead_watching_thread_is_worth_a_restart() -> None:
    assert not passed(liveness(replace(WELL, watching=False)))


def test_a_standby_is_ready() -> None:
    checks = readiness(replace(WELL, leading=False))
    assert passed(checks)
    assert "standing by" in as_text("readyz", checks)


def test_an_unreachable_host_is_shown_but_takes_nothing_from_the_others() -> None:
    checks = readiness(replace(WELL, hosts={"far": HostState(math.inf, "connection refused")}))
    assert passed(checks)
    assert "[-]host far failed, which does not count here: listed never; connection refused" in as_text("r", checks)


def test_the_answer_has_a_line_for_each_check_and_a_verdict() -> None:
    lines = as_text("readyz", readiness(WELL)).splitlines()
    assert lines == [
        "[+]api-server ok: answered 1 s ago",
        "[+]watch Workspace ok: listed 3 s ago, last event 8 s ago",
        "[+]leader ok: this one leads",
        "[+]host default ok: listed 2 s ago",
        "readyz check passed",
    ]


def listed(missed: Missed, now: float, there: Collection[Key], newer: Collection[Key], last_event: float) -> None:
    missed.listed("Workspace", there, newer, now, last_event)


def test_a_watch_is_behind_from_the_first_list_that_shows_more() -> None:
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=20.0)
    listed(missed, 120.0, {A}, (), last_event=20.0)  # it was fetched: nothing is newer any more
    assert missed.stale_for("Workspace", now=161.0, last_event=20.0) == 61.0


def test_an_event_after_that_shows_that_the_watch_lives() -> None:
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=20.0)
    assert missed.stale_for("Workspace", now=161.0, last_event=100.5) == 0.0


def test_what_is_gone_before_the_watch_begins_anew_is_missed_no_longer() -> None:
    """After a 410 the watch brings what is there, and of nothing that it has gone."""
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=20.0)
    listed(missed, 120.0, (), (), last_event=20.0)
    assert missed.stale_for("Workspace", now=1000.0, last_event=20.0) == 0.0


def test_a_list_that_comes_just_before_the_watch_long_after_that_says_nothing_against_it() -> None:
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=20.0)
    listed(missed, 120.0, (), (), last_event=20.0)
    listed(missed, 1000.0, {B}, {B}, last_event=20.0)
    assert missed.stale_for("Workspace", now=1000.01, last_event=20.0) < 1.0
    assert missed.stale_for("Workspace", now=1001.0, last_event=1000.02) == 0.0
    listed(missed, 1020.0, {B}, (), last_event=1000.02)
    assert missed.stale_for("Workspace", now=2000.0, last_event=1000.02) == 0.0


def test_a_watch_that_misses_what_soon_is_gone_time_and_again_is_dead() -> None:
    missed = Missed()
    for since in (0.0, 40.0, 80.0):
        listed(missed, 100.0 + since, {A}, {A}, last_event=20.0)
        listed(missed, 120.0 + since, (), (), last_event=20.0)
    assert missed.stale_for("Workspace", now=206.0, last_event=20.0) == 80.0


def test_a_list_that_overtakes_the_watch_by_a_moment_is_no_sign_of_its_death() -> None:
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=99.999)  # on its way through the queue already
    assert missed.stale_for("Workspace", now=1000.0, last_event=99.999) == 0.0


def test_a_watch_that_died_right_after_an_event_is_found_by_the_next_list() -> None:
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=97.0)
    listed(missed, 120.0, {A}, {A}, last_event=97.0)
    assert missed.stale_for("Workspace", now=181.0, last_event=97.0) == 61.0


def test_a_watch_that_never_brought_anything_is_behind_too() -> None:
    missed = Missed()
    listed(missed, 100.0, {A}, {A}, last_event=-math.inf)
    assert missed.stale_for("Workspace", now=161.0, last_event=-math.inf) == 61.0
    assert missed.stale_for("DockerHost", now=161.0, last_event=-math.inf) == 0.0


def test_an_api_server_that_refuses_every_list_is_unready_but_alive() -> None:
    refused = {"Workspace": WatchState(synced=True, list_age=61.0, event_age=70.0)}
    assert passed(liveness(replace(WELL, watches=refused)))
    assert not passed(readiness(replace(WELL, watches=refused)))
