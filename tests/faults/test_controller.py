"""The controller itself: killed, doubled, replaced, given a wild clock, or given much to do."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from devcluster.paths import REPOSITORY
from tests.faults.report import Row
from tests.faults.rig import BOUND, LIMIT, NOISE, PATIENCE, SYSTEM, Rig, prepare
from tests.waiting import eventually

TAKE_OVER = 20.0  # seconds
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{SYSTEM}/leases"
MEMORY = 350 * 1024  # KiB that the controller may have; with 1,000 Workspaces too
SMALL = {"resources": {"limits": {"memory": "32Mi"}}, "network": {"mode": "None"}}


def test_21_clock_jumps_by_an_hour(make_rig: Callable[[], Rig], row: Row, tmp_path: Path) -> None:
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    clock = tmp_path / "clock"
    clock.write_text("+0")
    rig = make_rig()
    rig.environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    rig.start()
    recovery = {"maxRetries": 9, "backoff": {"initialSeconds": 4, "maxSeconds": 4, "factor": 1}}
    rig.apply("crash", {"command": ["sh", "-c", "sleep 1; exit 1"], "recovery": recovery})
    rig.apply("shop")
    rig.converge_one("shop")
    for jump in ("+3600", "-3600"):
        row.inject()
        clock.write_text(jump)
        began = time.monotonic()
        writes = len(rig.kube_proxy.mutations())
        rig.shell("kill", rig.container("shop")["Id"])
        eventually(lambda: rig.container("shop")["State"]["Running"], 10 + NOISE)
        rig.converge_one("shop", 10 + NOISE)
        row.recovered(began)
        count = rig.status("crash")["restartCount"]
        eventually(lambda count=count: rig.status("crash")["restartCount"] > count, 20 + NOISE)  # type: ignore[misc]
        seconds = time.monotonic() - began
        assert len(rig.kube_proxy.mutations()) - writes < 20 + 4 * seconds, "no storm"
        rig.edit("shop", env=[{"name": "JUMP", "value": jump}])  # forgets the retries, as any change of a spec
        rig.converge_one("shop")
        assert f"JUMP={jump}" in rig.container("shop")["Config"]["Env"]
    starts = [e.at for e in rig.oracle.seen(0, rig.namespace) if (e.action, e.name) == ("start", "crash")]
    deaths = [e.at for e in rig.oracle.ended(0, rig.namespace) if e.name == "crash"]
    waits = [start - death for start, death in zip(starts[1:], deaths, strict=False)]
    assert min(waits[1:]) > 3.5, f"S8: {waits}"
    assert max(waits[1:]) < 4 + NOISE, f"a stall: {waits}"


def test_22_two_controllers(make_rig: Callable[[], Rig], row: Row) -> None:
    _two(make_rig(), row, 25.0)


@pytest.mark.nightly
def test_22_two_controllers_with_a_leader_stopped_for_60_s(make_rig: Callable[[], Rig], row: Row) -> None:
    _two(make_rig(), row, 60.0)


def test_23_namespace_deleted_with_workspaces(rig: Rig, row: Row) -> None:
    for number in range(50):
        rig.apply(f"ws-{number}", SMALL)
    rig.converge(4 * PATIENCE)
    began = row.inject()
    rig.cluster.kubectl("delete", "namespace", rig.namespace, "--wait=false")
    eventually(lambda: not rig.names(), 60 + NOISE)
    eventually(lambda: not rig.oracle.containers(rig.namespace), 60 + NOISE)
    eventually(lambda: _is_gone(rig), 60 + NOISE)
    row.recovered(began)


@pytest.mark.nightly
@pytest.mark.timeout(5400)
def test_25_1000_workspaces_applied_at_once(rig: Rig, row: Row) -> None:
    _apply_many(rig, row, 1000)


def test_25_many_workspaces_applied_at_once(rig: Rig, row: Row) -> None:
    _apply_many(rig, row, 30)


def test_27_crd_and_controller_upgraded(rig: Rig, row: Row, tmp_path: Path) -> None:
    rig.apply("shop")
    rig.apply("full", {"env": [{"name": "A", "value": "b"}], "ports": [{"name": "http", "containerPort": 80}]})
    rig.converge()
    before = {c["Id"]: c["State"]["StartedAt"] for c in rig.oracle.containers(rig.namespace)}
    newer = tmp_path / "newer"
    shutil.copytree(REPOSITORY / "controller", newer / "controller")
    source = newer / "controller" / "__init__.py"
    source.write_text(source.read_text().replace('__version__ = "', '__version__ = "9'))
    row.inject()
    _apply_newer_crd(rig)
    try:
        rig.controller.stop()
        rig.controller.cwd = newer
        rig.restart()
        healed = time.monotonic()
        rig.edit("shop", resources={"limits": {"memory": "64Mi"}})  # something that shows that the new one acts
        rig.converge(BOUND + NOISE)
        row.recovered(healed)
    finally:
        prepare(rig.cluster)
    after = {c["Id"]: c["State"]["StartedAt"] for c in rig.oracle.containers(rig.namespace)}
    assert after == before, "0 recreations"


def _two(rig: Rig, row: Row, seconds: float) -> None:
    rig.options = ("--leader-elect",)
    first, second = rig.start(), rig.start()
    rig.apply("shop")
    rig.converge()
    leader = first if "leading" in first.output() else second
    standby = second if leader is first else first
    holder = _holder(rig)
    began = row.inject()
    leader.pause()
    rig.edit("shop", env=[{"name": "A", "value": "while the leader was frozen"}])
    eventually(lambda: _holder(rig) != holder, TAKE_OVER + NOISE)
    rig.converge(TAKE_OVER + BOUND)
    row.recovered(began)
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    leader.resume()
    row.inject()
    began = time.monotonic()
    rig.edit("shop", env=[{"name": "A", "value": "after it woke"}])
    rig.converge(BOUND + NOISE)
    row.recovered(began)
    assert _holder(rig) != holder, "one leader: who woke up does not take it back"
    holder = _holder(rig)
    began = row.inject()
    standby.kill()
    eventually(lambda: _holder(rig) != holder, TAKE_OVER + NOISE)
    rig.shell("kill", rig.container("shop")["Id"])
    rig.converge(BOUND + NOISE)
    row.recovered(began)


def _apply_many(rig: Rig, row: Row, count: int) -> None:
    body = {"apiVersion": "aicli.dev/v1alpha1", "kind": "Workspace"}
    spec = {"command": ["sleep", "infinity"], "terminationGracePeriodSeconds": 1} | SMALL
    items = [body | {"metadata": {"name": f"ws-{n}", "namespace": rig.namespace}, "spec": spec} for n in range(count)]
    rig.docker.most_in_flight = 0
    began = row.inject(count)
    rig.cluster.kubectl("create", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    rig.converge(60 + 3 * count)
    row.recovered(began, count)
    assert rig.docker.most_in_flight <= LIMIT, "S11: the host's limit"
    status = Path(f"/proc/{rig.controller.pid}/status").read_text()
    memory = int(status.partition("VmRSS:")[2].split()[0])
    assert memory < MEMORY, f"the controller has {memory} KiB"


def _apply_newer_crd(rig: Rig) -> None:
    """As a later version would have it: a new field, a new printed column."""
    crd = yaml.safe_load((REPOSITORY / "crds" / "workspaces.yaml").read_text())
    version = crd["spec"]["versions"][0]
    version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["later"] = {"type": "string"}
    version["additionalPrinterColumns"].append({"name": "LATER", "type": "string", "jsonPath": ".spec.later"})
    rig.cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(crd))


def _is_gone(rig: Rig) -> bool:
    done = rig.cluster.kubectl("get", "namespace", rig.namespace, "--ignore-not-found", "-o", "name")
    return not done.strip()


def _holder(rig: Rig) -> str:
    leases = rig.api.request("GET", LEASE)["items"]
    return str(leases[0]["spec"].get("holderIdentity") or "")
