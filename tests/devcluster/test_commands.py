"""The commands behind the Makefile, on a state directory and an engine of the test's own."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster import ControlPlane, Engine, binaries, packages
from devcluster.paths import REPOSITORY
from devcluster.report import DevclusterError

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def devcluster(tmp_path: Path) -> Iterator[Command]:
    """Runs ``python -m devcluster``; whatever it started is stopped at the end."""
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}

    def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if name not in ("KUBECONFIG", "DOCKER_HOST")}
        command = [sys.executable, "-m", "devcluster", *args]
        environment = inherited | state | env
        return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)

    yield run
    run("down")


def test_up_without_the_controller_twice_then_down(devcluster: Command, engine: Engine) -> None:
    first = devcluster("up", "--no-controller", DOCKER_HOST=engine.endpoint)
    assert first.returncode == 0, first.stderr
    assert "make controller" in first.stdout
    kubeconfig = devcluster("kubeconfig").stdout
    running = devcluster("status").stdout
    second = devcluster("up", "--no-controller", DOCKER_HOST=engine.endpoint)
    assert second.returncode == 0, second.stderr
    assert devcluster("status").stdout == running
    assert devcluster("kubeconfig").stdout == kubeconfig
    assert devcluster("down").returncode == 0
    assert "pid" not in devcluster("status").stdout


def test_up_makes_the_sample_run_and_down_keeps_it(devcluster: Command, new_engine: Callable[..., Engine]) -> None:
    engine = new_engine()
    done = devcluster("up", DOCKER_HOST=engine.endpoint)
    assert done.returncode == 0, done.stderr
    table, *steps = done.stdout.split("\n\n")
    assert "sample   Running   True" in table
    assert len(steps[0].splitlines()) == 3
    container = engine.docker("ps", "--quiet")
    assert devcluster("up", DOCKER_HOST=engine.endpoint).returncode == 0
    assert devcluster("down").returncode == 0
    assert engine.docker("ps", "--quiet") == container != ""


def test_clean_removes_the_containers_of_its_own_cluster_only(
    devcluster: Command, new_engine: Callable[..., Engine]
) -> None:
    engine = new_engine()
    assert devcluster("up", "--no-controller", DOCKER_HOST=engine.endpoint).returncode == 0
    kubeconfig = Path(devcluster("kubeconfig").stdout.strip())
    kubectl = [str(binaries.path("kubectl")), "--kubeconfig", str(kubeconfig), "get", "namespace", "kube-system"]
    cluster = subprocess.check_output([*kubectl, "-o", "jsonpath={.metadata.uid}"], text=True)
    for name, owner in (("ours", cluster), ("foreign", "another")):
        engine.docker(
            "run", "-d", "--name", name, "--label", f"aicli.dev/cluster={owner}", "alpine:latest", "sleep", "1000"
        )
    cleaned = devcluster("clean", DOCKER_HOST=engine.endpoint)
    assert cleaned.returncode == 0, cleaned.stderr
    assert engine.docker("ps", "--format", "{{.Names}}") == "foreign\n"
    assert not kubeconfig.exists()


def test_clean_keeps_the_data_while_the_engine_is_away(devcluster: Command, new_engine: Callable[..., Engine]) -> None:
    engine = new_engine()
    assert devcluster("up", "--no-controller", DOCKER_HOST=engine.endpoint).returncode == 0
    kubeconfig = Path(devcluster("kubeconfig").stdout.strip())
    kept = [kubeconfig, kubeconfig.parent / "etcd" / "member"]
    assert all(path.exists() for path in kept)
    engine.stop()
    refused = devcluster("clean", DOCKER_HOST=engine.endpoint)
    assert refused.returncode == 1
    assert engine.endpoint in refused.stderr
    assert all(path.exists() for path in kept)


def test_up_uses_the_cluster_that_kubeconfig_names(
    devcluster: Command, new_control_plane: Callable[..., ControlPlane], engine: Engine
) -> None:
    cluster = new_control_plane()
    config = str(cluster.kubeconfig)
    done = devcluster("up", "--no-controller", KUBECONFIG=config, DOCKER_HOST=engine.endpoint)
    assert done.returncode == 0, done.stderr
    assert cluster.kubectl("get", "workspace", "sample", "-o", "name") == "workspace.aicli.dev/sample\n"
    assert "pid" not in devcluster("status").stdout
    narrower = '{"spec":{"policy":{"images":["registry.example.com/*"]}}}'
    cluster.kubectl("patch", "dockerhost", "default", "--type=merge", "-p", narrower)
    again = devcluster("up", "--no-controller", KUBECONFIG=config, DOCKER_HOST=engine.endpoint)
    assert "DockerHost default is there already and stays as it is" in again.stderr
    images = cluster.kubectl("get", "dockerhost", "default", "-o", "jsonpath={.spec.policy.images}")
    assert images == '["registry.example.com/*"]'


def test_a_cluster_that_does_not_answer_is_named(devcluster: Command, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("apiVersion: v1\nkind: Config\n")
    done = devcluster("up", KUBECONFIG=str(tmp_path / "config"))
    assert done.returncode == 1
    assert f"KUBECONFIG={tmp_path / 'config'}" in done.stderr
    assert "unset KUBECONFIG" in done.stderr


def test_an_engine_that_does_not_answer_is_named(devcluster: Command, tmp_path: Path) -> None:
    done = devcluster("up", "--no-controller", DOCKER_HOST=f"unix://{tmp_path}/docker.sock")
    assert done.returncode == 1
    assert f"DOCKER_HOST=unix://{tmp_path}/docker.sock" in done.stderr


def test_the_controller_alone_needs_the_control_plane(devcluster: Command) -> None:
    done = devcluster("controller")
    assert done.returncode == 1
    assert "make up CONTROLLER=0" in done.stderr


def test_packages_that_are_there_are_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert packages.missing(["dpkg", "no-such-package"]) == ["no-such-package"]
    monkeypatch.setitem(packages.COMMANDS, "had-from-elsewhere", "sh")
    assert packages.missing(["had-from-elsewhere", "no-such-package"]) == ["no-such-package"]
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    packages.install(["dpkg"])
    with pytest.raises(DevclusterError, match="apt-get install no-such-package"):
        packages.install(["dpkg", "no-such-package"])


def test_what_the_machine_refuses_is_told_in_a_line(devcluster: Command, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = devcluster("down", XDG_STATE_HOME=str(tmp_path / "file"))
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_kubeconfig_of_several_files_is_told(devcluster: Command) -> None:
    done = devcluster("kubeconfig", KUBECONFIG="/one:/two")
    assert done.returncode == 1
    assert "KUBECONFIG names several files (/one:/two)" in done.stderr
