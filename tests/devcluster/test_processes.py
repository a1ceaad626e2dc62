"""Child processes: known by their pid files, stopped by their own number only."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import Process, StartError, files
from devcluster.report import DevclusterError
from tests.waiting import eventually


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[Process]:
    process = Process("sleeper", ["sh", "-c", "echo started; exec sleep 1000"], tmp_path)
    process.start()
    eventually(lambda: "started" in process.output())
    yield process
    process.kill()


def test_a_started_process_is_not_started_twice(sleeper: Process) -> None:
    first = sleeper.pid
    sleeper.start()
    assert sleeper.pid == first


def test_another_holder_of_the_same_directory_finds_and_stops_it(sleeper: Process, tmp_path: Path) -> None:
    other = Process("sleeper", [], tmp_path)
    assert other.pid == sleeper.pid
    other.stop()
    assert not sleeper.running


def test_a_process_that_ignores_the_request_to_end_is_killed(tmp_path: Path) -> None:
    stubborn = ["sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done"]
    process = Process("stubborn", stubborn, tmp_path, stop_timeout=0.3)
    process.start()
    eventually(lambda: "ready" in process.output())
    process.stop()
    assert process.exit_code == -signal.SIGKILL


def test_a_paused_process_can_be_resumed_and_stopped(sleeper: Process) -> None:
    sleeper.pause()
    assert _state(sleeper) == "T"
    sleeper.resume()
    eventually(lambda: _state(sleeper) == "S")
    sleeper.pause()
    sleeper.stop()
    assert not sleeper.running


def test_a_number_that_was_given_to_another_process_is_not_signalled(tmp_path: Path) -> None:
    (tmp_path / "gone.pid").write_text(f"{os.getpid()} 1")
    gone = Process("gone", [], tmp_path)
    assert gone.pid is None
    gone.kill()


def test_a_process_that_ends_while_it_starts_shows_the_end_of_its_log(tmp_path: Path) -> None:
    broken = Process("broken", ["sh", "-c", "echo no such flag >&2; exit 2"], tmp_path, ready=lambda: False)
    with pytest.raises(StartError, match="no such flag"):
        broken.start()


def test_a_process_that_is_never_ready_is_reported_by_name(tmp_path: Path) -> None:
    slow = Process("slow", ["sleep", "1000"], tmp_path, ready=lambda: False, ready_timeout=0.2)
    with pytest.raises(StartError, match="slow is not ready"):
        slow.start()
    slow.kill()


def test_what_a_killed_session_started_is_ended_by_its_reaper(tmp_path: Path) -> None:
    session = (
        "import os, pathlib, sys\n"
        "from devcluster import Process\n"
        "from devcluster.reaper import reaper\n"
        "with reaper(pathlib.Path(sys.argv[1])):\n"
        "    Process('orphan', ['sleep', '1000'], pathlib.Path(sys.argv[1]) / 'test').start()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", session, str(tmp_path)], check=False)
    eventually(lambda: not Process("orphan", [], tmp_path / "test").running)


def _state(process: Process) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_what_cannot_be_noted_is_not_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "replace", full)
    process = Process("sleeper", ["sleep", "1000"], tmp_path)
    with pytest.raises(OSError, match="No space left"):
        process.start()
    assert process.exit_code == -signal.SIGKILL


def test_what_cannot_be_ended_is_not_forgotten(sleeper: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as deaf:
        deaf.setattr(sleeper, "signal", lambda number: None)
        deaf.setattr(sleeper, "wait_ended", lambda timeout: False)
        with pytest.raises(DevclusterError, match="does not end"):
            sleeper.stop()
    assert sleeper.running


def test_a_damaged_pid_file_is_none(tmp_path: Path) -> None:
    (tmp_path / "sleeper.pid").write_text("abc def")
    assert not Process("sleeper", [], tmp_path).running
