"""Private engines are complete, break on demand, and leave nothing behind."""

import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster import Engine, leftovers, sample
from devcluster.process import start_time
from tests.waiting import eventually


@pytest.fixture(params=["debian", "29"])
def private(request: pytest.FixtureRequest, new_engine: Callable[..., Engine]) -> Engine:
    return new_engine(version=request.param, live_restore=True)


def test_an_engine_runs_the_sample_image_and_publishes_ports(private: Engine) -> None:
    private.docker("run", "-d", "--init", "-p", "127.0.0.1:20001:80", "alpine:latest", "httpd", "-f", "-h", "/etc")
    fetch = [*private.enter, "busybox", "wget", "-qO-", "http://127.0.0.1:20001/group"]
    eventually(lambda: subprocess.run(fetch, capture_output=True, text=True, check=True).stdout.startswith("root:"))


def test_containers_outlive_a_killed_engine_with_live_restore(private: Engine) -> None:
    private.docker("run", "-d", "--name", "kept", "alpine:latest", "sleep", "1000")
    before = _started(private, "kept")
    private.kill()
    private.start()
    assert _started(private, "kept") == before


def test_containers_end_with_an_engine_without_live_restore(new_engine: Callable[..., Engine]) -> None:
    engine = new_engine()
    engine.docker("run", "-d", "--name", "lost", "--init", "alpine:latest", "sleep", "1000")
    engine.stop()
    engine.start()
    assert engine.docker("inspect", "--format", "{{.State.Status}}", "lost") == "exited\n"


def test_a_paused_engine_does_not_answer(new_engine: Callable[..., Engine]) -> None:
    engine = new_engine()
    engine.pause()
    asking = threading.Thread(target=engine.docker, args=("ps",))
    asking.start()
    asking.join(0.5)
    assert asking.is_alive()
    engine.resume()
    asking.join(10)
    assert not asking.is_alive()


def test_tls_lets_only_known_clients_in(new_engine: Callable[..., Engine]) -> None:
    engine = new_engine(tls=True)
    pair = engine.client_certificate()
    tls = ["--tlsverify", "--tlscacert", str(engine.ca)]
    client = ["--tlscert", str(pair.certificate), "--tlskey", str(pair.key)]
    command = ["docker", "--host", engine.tcp_endpoint, *tls]
    assert subprocess.run([*command, *client, "ps", "-q"], capture_output=True, check=False).returncode == 0
    assert subprocess.run([*command, "ps", "-q"], capture_output=True, check=False).returncode != 0


def test_a_cleaned_engine_leaves_no_process_mount_or_namespace(private: Engine) -> None:
    private.docker("run", "-d", "--name", "one", "-v", "data:/data", "alpine:latest", "sleep", "1000")
    pid = int(private.docker("inspect", "--format", "{{.State.Pid}}", "one"))
    container = private.docker("inspect", "--format", "{{.Id}}", "one").strip()
    private.cleanup()
    assert start_time(pid) is None
    mounts = Path("/proc/self/mountinfo").read_text()
    assert str(private.directory) not in mounts
    assert str(private.socket.parent) not in mounts
    assert not Path("/run/netns", private.namespace).exists()
    assert not list(Path("/sys/fs/cgroup").glob(f"*/docker/{container}"))


def test_a_made_image_has_the_config_that_was_asked_for(engine: Engine) -> None:
    engine.load(sample.archive("made:1", {"StopSignal": "SIGUSR1"}, {"/bin/hello": "#!/bin/sh\necho hello\n"}))
    assert engine.docker("run", "--rm", "made:1", "hello") == "hello\n"
    assert engine.docker("inspect", "--format", "{{.Config.StopSignal}}", "made:1") == "SIGUSR1\n"


def _started(engine: Engine, name: str) -> str:
    return engine.docker("inspect", "--format", "{{.State.StartedAt}} {{.State.Pid}}", name)


def test_what_lies_hidden_below_another_mount_is_unmounted_too(tmp_path: Path) -> None:
    above, below = tmp_path / "data", tmp_path / "data" / "layer"
    below.mkdir(parents=True)
    for point in (below, above):
        subprocess.run(["mount", "--bind", point, point], check=True)
    leftovers.unmount_below(tmp_path)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
