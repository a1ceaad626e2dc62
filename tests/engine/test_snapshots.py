"""Lists at rest: what is skipped because a list says what the last one said would have changed nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from hypothesis import given, settings
from hypothesis import strategies as st

from controller import naming
from controller.engine.protocol import Summary
from controller.engine.snapshots import Snapshots
from controller.observed import Container, ContainerState, Limits

IDS = ("a", "b")
STATES = (ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED)
ROWS = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from(STATES)), max_size=2, unique_by=lambda row: row[0])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("list"), ROWS),
        st.tuples(st.just("same"), st.integers(0, 1)),  # inspects that begin before it
        st.tuples(st.just("inspect"), st.sampled_from(IDS), st.sampled_from(STATES)),
        st.tuples(st.just("answer"), st.just(0)),  # of the oldest inspect under way
        st.tuples(st.just("event"), st.sampled_from(IDS)),
        st.tuples(st.just("drop"), st.sampled_from(IDS)),
    ),
    max_size=25,
)


def container(name: str, state: ContainerState) -> Container:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Container(name, name, state, {naming.LABEL_UID: name}, "sha256:1", now, Limits(0, 0, 0, 0, 0, 0))


class Side:
    """Snapshots, and what is under way."""

    def __init__(self, *, identical: bool) -> None:
        self.snapshots, self.identical = Snapshots(), identical
        self.rows: Sequence[Summary] = []
        self.under_way: list[tuple[Container, int]] = []
        self.told: list[object] = []

    def step(self, what: str, *arguments: object) -> None:
        snapshots = self.snapshots
        match what, arguments:
            case "list", [list(rows)]:
                self.rows = [Summary(name, name, name, state, "") for name, state in rows]
                self._list()
            case "same", [int(count)]:
                for _ in range(count):
                    self.under_way.append((container("a", ContainerState.EXITED), snapshots.begin()))
                self._list()
            case "inspect", [str(name), ContainerState() as state]:
                self.under_way.append((container(name, state), snapshots.begin()))
            case "answer", _ if self.under_way:
                self.told.append(snapshots.store(*self.under_way.pop(0)))
            case "event", [str(name)]:
                snapshots.doubt(name, 0.0)
            case "drop", [str(name)]:
                snapshots.drop(name)

    def _list(self) -> None:
        rows = self.rows if self.identical else list(self.rows)  # never the list of before: nothing is skipped
        self.told.append(self.snapshots.compare(rows, self.snapshots.begin(), 0.0))
        self.told.append([entry.id for entry in self.snapshots.due()])


@settings(max_examples=300)
@given(STEPS)
def test_what_is_skipped_would_have_changed_nothing(steps: list[tuple[str, object]]) -> None:
    skips, looks = Side(identical=True), Side(identical=False)
    for step in steps:
        skips.step(*step)
        looks.step(*step)
        assert skips.told == looks.told
        assert [skips.snapshots.get(name) for name in IDS] == [looks.snapshots.get(name) for name in IDS]


def test_a_list_at_rest_is_not_compared_again() -> None:
    side = Side(identical=True)
    for step in (
        ("list", [("a", ContainerState.RUNNING)]),
        ("inspect", "a", ContainerState.RUNNING),
        ("answer", 0),
        ("same", 0),
    ):
        side.step(*step)
    entry = side.snapshots.get("a")
    assert entry is not None
    entry.row = None  # a look would put it back
    side.step("same", 0)
    assert entry.row is None
    side.step("event", "a")
    side.step("same", 0)
    assert side.told[-1] == ["a"]


def test_a_list_says_nothing_about_a_snapshot_that_began_after_it() -> None:
    """An engine that makes hundreds of containers takes long for a list: what it says may be outdated by then."""
    side = Side(identical=False)
    side.step("list", [])
    began = side.snapshots.begin()
    side.step("inspect", "a", ContainerState.RUNNING)
    side.step("answer", 0)
    outdated = [Summary("a", "a", "a", ContainerState.CREATED, "")]
    assert side.snapshots.compare(outdated, began, 0.0) == []
    side.step("list", [("a", ContainerState.RUNNING)])
    assert side.told[-2:] == [[], []]  # it differs from nothing, and nothing is to be looked at
    side.step("list", [("a", ContainerState.EXITED)])
    assert side.told[-2:] == [["a"], ["a"]]
