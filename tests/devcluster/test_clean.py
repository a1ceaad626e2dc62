"""``make clean`` beside a controller that it did not start. No servers: what it would remove is only noted."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from controller import filelock
from devcluster import local_engine, session, up
from devcluster.report import DevclusterError

MADE = session.Made("cluster", "unix:///nowhere/docker.sock")


class _Nothing:
    """A process or a control plane that does not run."""

    def stop(self) -> None: ...


@pytest.fixture
def lock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The lock of the cluster that ``make up`` has made containers for."""
    monkeypatch.setattr(filelock, "SHARED", tmp_path)
    for name in ("supervisor", "controller", "embedded"):
        monkeypatch.setattr(session, name, _Nothing)
    monkeypatch.setattr(session, "remembered", lambda: MADE)
    monkeypatch.setattr(local_engine, "answers", lambda endpoint: True)
    monkeypatch.setattr(local_engine, "stop", lambda: None)
    (tmp_path / "state").mkdir()
    monkeypatch.setattr(up, "state_dir", lambda: tmp_path / "state")
    return filelock.lock_path(MADE.cluster)


@pytest.fixture
def removing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], list[object]]:
    """Notes what the given function says at the moment when containers are removed."""

    def note(look: Callable[[], object]) -> list[object]:
        seen: list[object] = []
        monkeypatch.setattr(local_engine, "remove_containers", lambda *_: seen.append(look()))
        return seen

    return note


def test_clean_removes_nothing_while_another_controller_runs(
    lock: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    removing: Callable[[Callable[[], object]], list[object]],
) -> None:
    removed = removing(lambda: True)
    held = filelock.take(lock)
    assert held is not None
    assert filelock.holder(lock) in (os.getpid(), None)  # some file systems and containers hide it
    monkeypatch.setattr(filelock, "holder", lambda path: 4711)
    with pytest.raises(DevclusterError, match=r"A controller .* runs \(pid 4711, .*End it first"):
        up.clean()
    assert removed == []
    assert (tmp_path / "state").exists()
    os.close(held)
    up.clean()
    assert removed == [True]
    assert not (tmp_path / "state").exists()


def test_no_controller_can_begin_while_containers_are_removed(
    lock: Path, removing: Callable[[Callable[[], object]], list[object]]
) -> None:
    could = removing(lambda: filelock.take(lock))
    up.clean()
    assert could == [None]
    after = filelock.take(lock)
    assert after is not None
    os.close(after)


def test_a_lock_that_cannot_be_opened_is_named(lock: Path) -> None:
    lock.symlink_to("elsewhere")
    with pytest.raises(DevclusterError, match=str(lock)):
        up.clean()
