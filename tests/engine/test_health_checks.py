"""The exec events of health checks are told from those of people, and nothing is kept of what has ended."""

from __future__ import annotations

from controller.engine.event_stream import HealthChecks

PROBE = "/bin/sh -c true"


def checks() -> HealthChecks:
    made = HealthChecks()
    made.learn("c", PROBE)
    return made


def test_a_health_check_is_no_news_and_a_session_is() -> None:
    seen = checks()
    assert seen.is_one("c", f"exec_create: {PROBE}", "1")
    assert seen.is_one("c", f"exec_start: {PROBE}", "1")
    assert not seen.is_one("c", "exec_start: bash", "2")
    assert seen.is_one("c", "exec_die", "1")
    assert not seen.is_one("c", "exec_die", "2")
    assert not seen.is_one("other", f"exec_start: {PROBE}", "3")


def test_a_health_check_of_one_word_is_no_news() -> None:
    seen = HealthChecks()
    seen.learn("c", "/healthcheck")
    assert seen.is_one("c", "exec_create: /healthcheck ", "1")  # as dockerd writes it
    assert seen.is_one("c", "exec_start: /healthcheck ", "1")
    assert seen.is_one("c", "exec_die", "1")


def test_checks_whose_end_is_never_told_take_no_room() -> None:
    seen = checks()
    for number in range(100):
        assert seen.is_one("c", f"exec_create: {PROBE}", str(number))
    assert len(seen._running) == 1
    assert not seen.is_one("c", "destroy", "")
    assert not seen._running
    assert not seen._commands


def test_nothing_is_kept_of_containers_that_no_list_shows_any_more() -> None:
    seen = checks()
    for number in range(100):
        seen.learn(f"missed {number}", PROBE)
        seen.is_one(f"missed {number}", f"exec_start: {PROBE}", "e")
        seen.is_one(f"late {number}", "destroy", "")
        seen.learn(f"late {number}", PROBE)
    seen.keep(["c"])
    assert list(seen._commands) == ["c"]
    assert not seen._running
