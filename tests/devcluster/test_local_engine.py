"""A dockerd of the machine that is only slow to answer gets no second one beside it. All on paths of the test's own."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from devcluster import Process, local_engine
from devcluster.report import DevclusterError
from tests.waiting import eventually

Machine = tuple[Process, Process]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Machine]:
    """What would be started as dockerd and containerd: two programs that do nothing."""
    dockerd, containerd = (Process(name, ["sleep", "1000"], tmp_path) for name in ("dockerd", "containerd"))
    monkeypatch.setattr(local_engine, "processes", lambda: (dockerd, containerd))
    monkeypatch.setattr(local_engine, "_PID_FILE", tmp_path / "docker.pid")
    monkeypatch.setattr(local_engine, "_CONTAINERD_SOCKET", tmp_path / "containerd.sock")
    yield dockerd, containerd
    dockerd.kill()
    containerd.kill()


@contextmanager
def _program(path: Path) -> Iterator[int]:
    """The pid of a program of this name that runs."""
    shutil.copy(shutil.which("sleep") or "", path)
    with subprocess.Popen([path, "1000"]) as program:
        try:
            eventually(lambda: Path(f"/proc/{program.pid}/comm").read_text() == f"{path.name}\n")
            yield program.pid
        finally:
            program.kill()


@contextmanager
def _listening(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen(0)
        yield server


def test_a_dockerd_that_lives_and_does_not_answer_is_named_and_left_alone(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    with _program(tmp_path / "bin" / "dockerd") as pid, _listening(tmp_path / "containerd.sock"):
        (tmp_path / "docker.pid").write_text(f"{pid}\n")
        with pytest.raises(DevclusterError, match=rf"pid {pid} in .*docker.pid\) runs and does not answer.*kill {pid}"):
            local_engine._start_child()
    assert (tmp_path / "docker.pid").exists()
    assert (tmp_path / "containerd.sock").exists()
    assert not any(process.running for process in machine)


@pytest.mark.parametrize(
    "content",
    ["", "no number", "0", str(2**22 + 1), str(os.getpid())],
    ids=["empty", "no number", "zero", "nobody's", "another program's"],
)
def test_a_pid_file_whose_dockerd_has_ended_is_removed(machine: Machine, tmp_path: Path, content: str) -> None:
    (tmp_path / "docker.pid").write_text(content)
    local_engine._start_child()
    assert not (tmp_path / "docker.pid").exists()
    assert all(process.running for process in machine)


def test_our_own_dockerd_is_waited_for_and_keeps_its_pid_file(machine: Machine, tmp_path: Path) -> None:
    machine[0].start()
    (tmp_path / "docker.pid").write_text(str(machine[0].pid))
    local_engine._start_child()
    assert (tmp_path / "docker.pid").exists()


def test_a_socket_that_nobody_accepts_on_is_removed_before_containerd_starts(machine: Machine, tmp_path: Path) -> None:
    with _listening(tmp_path / "containerd.sock"):
        pass
    local_engine._start_child()
    assert not (tmp_path / "containerd.sock").exists()
    assert machine[1].running


def test_the_containerd_of_somebody_else_is_used_and_outlives_ours(machine: Machine, tmp_path: Path) -> None:
    dockerd, containerd = machine
    with _listening(tmp_path / "containerd.sock"):  # its queue is full after the first look
        local_engine._start_child()
        assert dockerd.running
        assert not containerd.running
        local_engine.stop()
        assert (tmp_path / "containerd.sock").exists()


def test_containerd_is_stopped_also_where_dockerd_has_died(machine: Machine) -> None:
    _, containerd = machine
    containerd.start(wait=False)
    local_engine.stop()
    assert not containerd.running


def test_an_image_that_cannot_be_loaded_is_told() -> None:
    with pytest.raises(DevclusterError, match="no space left on device"):
        local_engine._loaded(iter([{"stream": "Loading"}, {"error": "no space left on device"}]), "alpine:latest")
