"""The API server is gone, refuses, forgets, or is silent."""

from __future__ import annotations

import itertools
import json
import re
import threading
import time

import pytest

from tests.faults.proxy import Call, Fault
from tests.faults.report import Row
from tests.faults.rig import BOUND, NOISE, Rig
from tests.waiting import eventually

WATCH = r"/workspaces\?.*watch="


def test_02_api_server_down_then_back(rig: Rig, row: Row) -> None:
    _outage(rig, row, 25.0)


@pytest.mark.nightly
def test_02_api_server_down_for_two_minutes(rig: Rig, row: Row) -> None:
    _outage(rig, row, 120.0)


def test_03_api_server_answers_503_and_watch_ends_in_an_error(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    rig.converge()
    row.inject()
    with rig.kube_proxy.ruled(lambda call: Fault(status=503)):
        rig.kube_proxy.cut()
        began = time.monotonic()
        eventually(lambda: rig.probe("/readyz") == 503, 30 + NOISE)
        while time.monotonic() - began < 65:
            assert rig.probe("/healthz") == 200, "an outage of the API server must not make a crash loop"
            time.sleep(2)
    healed = time.monotonic()
    rig.edit("shop", env=[{"name": "A", "value": "after 503"}])
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    assert rig.probe("/readyz") == 200
    for number, code in enumerate((500, 504)):
        _watch_ends(rig, row, code, f"after {number}")


def test_04_410_gone_and_objects_deleted_while_disconnected(rig: Rig, row: Row) -> None:
    for name in ("stays", "goes", "comes-back"):
        rig.apply(name)
    rig.converge()
    row.inject()
    with rig.kube_proxy.ruled(_no_watch):
        rig.kube_proxy.cut(WATCH)
        for name in ("goes", "comes-back"):  # without our finalizer: gone at once, as after `kubectl replace --force`
            rig.oracle.stripped.add(name)
            rig.delete(name)
            rig.patch(name, {"metadata": {"finalizers": None}})
        rig.apply("comes-back", {"env": [{"name": "LIFE", "value": "second"}]})
        rig.cluster.compact()
        rig.cluster.apiserver.stop()
        rig.cluster.apiserver.start()
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    _watch_ends(rig, row, 410, "after 410")


def test_05_conflicts(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    rig.converge()
    stop, count = threading.Event(), itertools.count(1)
    last = {"annotation": 0}

    def scribble() -> None:
        while not stop.wait(0.05):
            last["annotation"] = next(count)
            rig.patch("shop", {"metadata": {"annotations": {"example.com/n": str(last["annotation"])}}})

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        for number in range(4):
            row.inject()
            rig.edit("shop", env=[{"name": "A", "value": f"edit {number}"}])
            time.sleep(1.5)
    finally:
        stop.set()
        writer.join()
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed, 4)
    found = rig.get("shop")
    assert found["metadata"]["annotations"]["example.com/n"] == str(last["annotation"]), "no lost field"
    assert found["spec"]["env"] == [{"name": "A", "value": "edit 3"}]
    assert found["metadata"]["finalizers"] == ["aicli.dev/container"]


def test_06_half_open_connection_to_the_api_server(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    rig.converge()
    began = row.inject()
    assert rig.kube_proxy.half_open() > 0
    rig.edit("shop", env=[{"name": "A", "value": "half open"}])
    rig.converge(75 + NOISE)
    eventually(lambda: rig.kube_proxy.reads(WATCH, began), 75 + NOISE)
    row.recovered(began)
    began = time.monotonic()
    rig.edit("shop", env=[{"name": "A", "value": "well again"}])
    rig.converge(BOUND + NOISE)


def _outage(rig: Rig, row: Row, seconds: float) -> None:
    for name in ("untouched", "killed", "edited"):
        rig.apply(name)
    rig.converge()
    untouched = rig.container("untouched")["State"]["StartedAt"]
    began = row.inject()
    rig.cluster.apiserver.stop()
    rig.shell("rm", "--force", rig.shell("ps", "-q", "--filter", "label=aicli.dev/name=killed"))
    eventually(lambda: rig.probe("/readyz") == 503, 30 + NOISE)
    while time.monotonic() - began < seconds:
        assert rig.probe("/healthz") == 200, "an outage of the API server must not make a crash loop"
        time.sleep(1)
    rig.cluster.apiserver.start()
    healed = time.monotonic()
    rig.edit("edited", env=[{"name": "A", "value": "after the outage"}])
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    assert rig.container("untouched")["State"]["StartedAt"] == untouched, "S3: an outage restarts nothing"


def _watch_ends(rig: Rig, row: Row, code: int, value: str) -> None:
    """The watch ends with an ERROR event; what is changed then is handled."""
    row.inject()
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "message": "injected"}
    status["reason"] = "Expired" if code == 410 else "InternalError"
    event = json.dumps({"type": "ERROR", "object": status}).encode() + b"\n"
    eventually(lambda: rig.kube_proxy.end_with(WATCH, event), 30)
    healed = time.monotonic()
    rig.edit("shop" if "shop" in rig.names() else "stays", env=[{"name": "A", "value": value}])
    rig.converge(BOUND + NOISE)
    row.recovered(healed)


def _no_watch(call: Call) -> Fault | None:
    return Fault(status=503) if re.search("watch=", call.path) else None
