"""What a Workspace needs is missing: its image, disk, port or project."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from devcluster import Engine, sample
from tests.faults.report import Row
from tests.faults.rig import BOUND, NOISE, Rig, host_body
from tests.security.registry import Registry
from tests.waiting import eventually

DISK = 160 * 2**20  # bytes; the sample image needs 5 MB
HOLD = (
    "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 20000)); s.listen();"
    "print('held', flush=True); time.sleep(600)"
)


def test_17_image_missing_wrong_credentials_registry_down_slow_pull(rig: Rig, row: Row, tmp_path: Path) -> None:
    registry = Registry(rig.engine, tmp_path)
    registry.start()
    try:
        rig.engine.load(sample.archive("private:1", {"Labels": {"of": "row 17"}}))
        image = registry.push("private:1", "shop:1")
        for name, password in (("right", None), ("wrong", "not-the-password")):
            data = registry.pull_secret(password) if password else registry.pull_secret()
            body = {"metadata": {"name": name}, "stringData": data} | {"type": "kubernetes.io/dockerconfigjson"}
            rig.api.request("POST", f"/api/v1/namespaces/{rig.namespace}/secrets", body)
        began = row.inject(4)
        rig.apply("missing", {"image": f"{registry.address}/none:1", "imagePullSecrets": [{"name": "right"}]})
        rig.apply("refused", {"image": image, "imagePullSecrets": [{"name": "wrong"}]})
        for name in ("missing", "refused"):
            assert rig.phase(name, "Failed")["lastError"]["class"] == "Image"
        registry.pause()
        rig.apply("slow", {"image": image, "imagePullSecrets": [{"name": "right"}]})
        rig.apply("other")
        eventually(lambda: rig.status("other")["phase"] == "Running", 20 + NOISE)
        registry.resume()
        eventually(lambda: rig.status("slow")["phase"] == "Running", 60 + NOISE)
        row.recovered(began, 3)
        registry.stop()
        rig.apply("down", {"image": f"{registry.address}/gone:1", "imagePullSecrets": [{"name": "right"}]})
        status = rig.phase("down", "BackOff")
        assert status["lastError"]["class"] == "Image"
        assert 0 < _seconds_until(status["nextRetryAt"]) <= 300
        began = time.monotonic()
        rig.delete("down")
        row.recovered(began)
    finally:
        registry.resume()
        registry.stop()
    for name in ("missing", "refused", "down"):
        if name in rig.names():
            rig.edit(name, image="alpine:latest")
    rig.converge()


def test_18_disk_full(rig: Rig, row: Row, projects: Path, tmp_path: Path) -> None:
    with _small_engine(tmp_path) as engine, contextlib.ExitStack() as gone:
        rig.cluster.kubectl("apply", "-f", "-", stdin=host_body("small", engine.endpoint, projects))
        rig.engines = rig.engines | {"small": engine}
        rig.oracle.add("small", engine)
        gone.callback(_forget, rig, "small")
        rig.apply("shop", {"host": "small"})
        eventually(lambda: rig.status("shop")["phase"] == "Running", 90)
        before = rig.container("shop", "small")
        filler = engine.directory / "filler"
        row.inject()
        _fill(filler)
        rig.edit("shop", env=[{"name": "A", "value": "needs a new container"}])
        eventually(lambda: _tells(rig, "shop", "Storage"), 60 + NOISE)
        kept = [c for c in rig.oracle.containers(rig.namespace, "shop", "small") if c["State"]["Running"]]
        assert [c["Id"] for c in kept] == [before["Id"]], "the old container is kept"
        shutil.rmtree(filler)
        healed = time.monotonic()
        eventually(lambda: rig.oracle.check_converged(rig.namespace), BOUND + NOISE)
        row.recovered(healed)
        rig.delete("shop")
        eventually(lambda: not rig.names(), 90)


def _forget(rig: Rig, host: str) -> None:
    """Whatever became of it: the next test finds a host that answers, or none."""
    for name in rig.names():
        rig.patch(name, {"metadata": {"annotations": {"aicli.dev/abandon": "true"}}})
        rig.delete(name)
    rig.oracle.drop(host)
    rig.engines = {name: engine for name, engine in rig.engines.items() if name != host}
    rig.cluster.kubectl("delete", "dockerhost", host, "--wait=false")


def test_19_port_already_in_use(rig: Rig, row: Row) -> None:
    """The host's policy gives one port, and somebody else has it."""
    holder = subprocess.Popen([*rig.engine.enter, sys.executable, "-c", HOLD], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        row.inject()
        rig.apply("shop", {"ports": [{"name": "http", "containerPort": 80}]})
        error = eventually(lambda: rig.status("shop")["lastError"])
        assert (error["class"], error["reason"]) == ("Network", "PortInUse"), error
    finally:
        holder.kill()
        holder.wait()
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    assert rig.status("shop")["ports"][0]["hostPort"] == 20000


def test_20_project_path_missing_not_allowed_a_symlink(rig: Rig, row: Row, projects: Path, tmp_path: Path) -> None:
    home = projects / rig.namespace
    (home / "planted").mkdir(parents=True)
    (home / "planted" / "link").symlink_to(tmp_path)  # as an earlier Workspace could, inside its own project
    cases = {
        "missing": home / "shop",
        "elsewhere": Path("/etc"),
        "neighbour": projects / "other" / "shop",
        "link": home / "planted" / "link",
    }
    row.inject(len(cases))
    for name, path in cases.items():
        rig.apply(name, {"projectPath": str(path)})
    for name, path in cases.items():
        error = rig.phase(name, "Failed")["lastError"]
        assert error["class"] == "Configuration", error
        assert str(path) in error["message"], error
        assert rig.oracle.containers(rig.namespace, name) == []
    assert [p.name for p in home.iterdir()] == ["planted"], "nothing is made on the host"
    (home / "shop").mkdir()
    healed = time.monotonic()
    for name in ("elsewhere", "neighbour", "link"):
        rig.edit(name, projectPath=str(home / "shop"))
    rig.converge()
    row.recovered(healed, len(cases))


def _fill(directory: Path) -> None:
    """Takes the last block of a disk: large pieces first, and then what they leave over."""
    directory.mkdir()
    for size in ("1M", "64k", "4k"):
        words = ["dd", "if=/dev/zero", f"of={directory / size}", f"bs={size}"]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert "No space left" in done.stderr, done.stderr


def _tells(rig: Rig, name: str, kind: str) -> None:
    error = rig.status(name)["lastError"]
    assert error["class"] == kind, error
    assert error["message"]


def _seconds_until(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp() - time.time()


@contextmanager
def _small_engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine on a disk of its own."""
    disk, directory = tmp_path / "disk", tmp_path / "small"
    with disk.open("wb") as file:
        file.truncate(DISK)
    directory.mkdir()
    subprocess.run(["mkfs.ext4", "-q", str(disk)], check=True)
    subprocess.run(["mount", "-o", "loop", str(disk), str(directory)], check=True)
    engine = Engine(directory)
    try:
        engine.start()
        yield engine
    finally:
        engine.cleanup()
        subprocess.run(["umount", str(directory)], check=True)
