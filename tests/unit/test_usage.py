"""When a Workspace's usage is worth a line of its status."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from controller.api import Usage
from controller.observed import Container, ContainerState, Limits
from controller.usage import Sample, Stats, cpus_used, is_wanted, status_usage

START = datetime(2026, 1, 1, tzinfo=UTC)
GIB = 1024**3
LIMITS = Limits(
    nano_cpus=2_000_000_000, cpu_shares=0, memory=GIB, memory_swap=GIB, memory_reservation=0, pids=500
)  # fmt: skip
CONTAINER = Container("c", "ws", ContainerState.RUNNING, {}, "sha256:i", START, LIMITS, started_at=START)
STATS = Stats(START + timedelta(seconds=120), 30.0, GIB // 4, 10, 0, 0)
SAMPLE = Sample(STATS, cpus=0.5)
SHOWN = Usage(cpu="500m", memory=f"{GIB // 4 // 1024}Ki", pids=10, sampled_at=START)


def test_the_first_sample_is_shown() -> None:
    shown = status_usage(None, CONTAINER, SAMPLE, None)
    assert shown == Usage(cpu="500m", memory="262144Ki", pids=10, sampled_at=STATS.read_at)


@pytest.mark.parametrize(
    "sample",
    [
        SAMPLE,
        replace(SAMPLE, cpus=0.69),
        replace(SAMPLE, stats=replace(STATS, memory_bytes=GIB // 4 + GIB // 11)),
        replace(SAMPLE, stats=replace(STATS, pids=59)),
    ],
    ids=["nothing", "cpu by 9.5 %", "memory by 9 %", "pids by 9.8 %"],
)
def test_what_moved_by_less_than_a_tenth_of_its_limit_is_not_written(sample: Sample) -> None:
    assert status_usage(SHOWN, CONTAINER, sample, None) is SHOWN


@pytest.mark.parametrize(
    "sample",
    [
        replace(SAMPLE, cpus=0.71),
        replace(SAMPLE, cpus=0.29),
        replace(SAMPLE, stats=replace(STATS, memory_bytes=GIB // 4 + GIB // 9)),
        replace(SAMPLE, stats=replace(STATS, pids=60)),
    ],
    ids=["more cpu", "less cpu", "memory", "pids"],
)
def test_what_moved_by_a_tenth_of_its_limit_is_written(sample: Sample) -> None:
    shown = status_usage(SHOWN, CONTAINER, sample, None)
    assert shown is not None
    assert shown.sampled_at == STATS.read_at


def test_a_minute_lies_between_two_writes() -> None:
    recent = SHOWN.model_copy(update={"sampled_at": STATS.read_at - timedelta(seconds=59)})
    assert status_usage(recent, CONTAINER, replace(SAMPLE, cpus=2.0), None) is recent


def test_a_minute_lies_between_two_writes_also_of_two_runs() -> None:
    last = STATS.read_at - timedelta(seconds=59)
    assert status_usage(None, CONTAINER, SAMPLE, last) is None
    assert status_usage(None, CONTAINER, SAMPLE, last - timedelta(seconds=1)) is not None


def test_an_engine_whose_clock_was_set_back_is_written_of_all_the_same() -> None:
    future = SHOWN.model_copy(update={"sampled_at": STATS.read_at + timedelta(hours=1)})
    assert status_usage(future, CONTAINER, replace(SAMPLE, cpus=2.0), future.sampled_at) is not future


def test_what_somebody_else_has_written_is_read_whatever_its_unit() -> None:
    other = SHOWN.model_copy(update={"cpu": "0.5", "memory": "256Mi"})
    assert status_usage(other, CONTAINER, SAMPLE, None) is other
    nonsense = SHOWN.model_copy(update={"cpu": "half"})
    assert status_usage(nonsense, CONTAINER, SAMPLE, None) is not nonsense


def test_a_limit_that_is_not_set_moves_nothing() -> None:
    unlimited = replace(CONTAINER, limits=Limits(0, 0, 0, 0, 0, 0))
    assert status_usage(SHOWN, unlimited, replace(SAMPLE, cpus=64.0), None) is SHOWN


def test_what_does_not_run_uses_nothing() -> None:
    exited = replace(CONTAINER, state=ContainerState.EXITED)
    assert status_usage(SHOWN, exited, SAMPLE, None) is None
    assert status_usage(SHOWN, None, None, None) is None


@pytest.mark.parametrize("sample", [None, replace(SAMPLE, cpus=None)], ids=["no sample", "only one sample"])
def test_a_controller_that_was_just_started_leaves_what_is_shown(sample: Sample | None) -> None:
    assert status_usage(SHOWN, CONTAINER, sample, None) is SHOWN


def test_cpus_are_the_mean_between_two_samples() -> None:
    later = replace(STATS, read_at=STATS.read_at + timedelta(seconds=10), cpu_seconds=35.0)
    assert cpus_used(STATS, later) == 0.5


def test_samples_of_two_runs_tell_nothing() -> None:
    assert cpus_used(STATS, replace(STATS, read_at=STATS.read_at + timedelta(seconds=1), cpu_seconds=0.1)) is None
    assert cpus_used(STATS, STATS) is None


def test_usage_is_shown_only_where_the_annotation_says_so() -> None:
    assert is_wanted({"aicli.dev/usage": "true"})
    assert not is_wanted({"aicli.dev/usage": "false"})
    assert not is_wanted({})
