"""What happens to containers behind the controller's back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.api import Object
from tests.faults.report import Row
from tests.faults.rig import BOUND, NOISE, PATIENCE, Rig
from tests.waiting import eventually

REPAIR = 10.0  # seconds
ONCE = "test -f /tmp/done && exec sleep infinity; touch /tmp/done; {first}"  # the first run ends, the second stays
ENDS = {
    "exits-0": ("exit 0", {"exitCode": 0, "reason": "Completed"}),
    "exits-1": ("exit 1", {"exitCode": 1, "reason": "Error"}),
    "oom": ("exec tail /dev/zero", {"exitCode": 137, "reason": "OOMKilled", "oomKilled": True}),
}


def test_12_container_killed_oom_killed_exits_0_exits_1(rig: Rig, row: Row) -> None:
    began = row.inject(len(ENDS))
    for name, (first, _) in ENDS.items():
        limits = {"limits": {"memory": "16Mi"}}
        rig.apply(name, {"command": ["sh", "-c", ONCE.format(first=first)], "resources": limits})
    rig.apply("killed")
    for name, (_, expected) in ENDS.items():  # in the moment before its first end, each is as it should be too
        eventually(lambda name=name, expected=expected: _check_ended(rig, name, expected), PATIENCE)
    rig.converge()
    row.recovered(began, len(ENDS))
    began = row.inject()
    rig.shell("kill", rig.container("killed")["Id"])
    eventually(lambda: _check_ended(rig, "killed", {"exitCode": 137, "reason": "Error"}), REPAIR + NOISE)
    row.recovered(began)


def test_13_container_paused_renamed_removed_stopped_by_hand(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    first = rig.running("shop")
    for verb, arguments in (("pause", ()), ("rename", ("elsewhere",)), ("stop", ("--time=1",)), ("rm", ("--force",))):
        container = rig.container("shop")["Id"]
        began = row.inject()
        rig.shell(verb, *([container, *arguments] if verb == "rename" else [*arguments, container]))
        eventually(lambda: _repaired(rig, first["Name"]), REPAIR + NOISE, interval=0.1)
        row.recovered(began)
    assert rig.status("shop")["restartCount"] == 1, "removal by hand is no exit"


def test_14_container_dead_or_stuck_in_removal(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    first = rig.running("shop")
    pinned = Path(first["GraphDriver"]["Data"]["UpperDir"]) / "pinned"
    pinned.touch()
    subprocess.run(["chattr", "+i", str(pinned)], check=True)
    try:
        row.inject()
        with pytest.raises(subprocess.CalledProcessError):
            rig.shell("rm", "--force", first["Id"])
        eventually(lambda: rig.status("shop")["phase"] != "Running", REPAIR + NOISE)
    finally:
        subprocess.run(["chattr", "-i", str(pinned)], check=True)
    healed = time.monotonic()
    rig.converge(BOUND + NOISE)
    row.recovered(healed)
    assert rig.container("shop")["Id"] != first["Id"]


def test_15_foreign_container_has_our_name_or_our_labels(rig: Rig, row: Row) -> None:
    rig.apply("shop", {"desiredState": "Stopped"})
    meta = rig.get("shop")["metadata"]
    labels = {"aicli.dev/uid": meta["uid"], "aicli.dev/namespace": rig.namespace, "aicli.dev/name": "shop"}
    words = [word for key, value in labels.items() for word in ("--label", f"{key}={value}")]
    name = f"ws-{rig.namespace}-shop-{meta['uid'][:8]}"
    run = ("run", "-d", "--network=none", "--init")
    foreign = [
        rig.shell(*run, "--name", name, "alpine:latest", "sleep", "infinity"),
        rig.shell(*run, "--name", "copy", *words, "alpine:latest", "sleep", "infinity"),
    ]
    try:
        for container in foreign:
            rig.oracle.protect("default", container)
        row.inject(2)
        rig.edit("shop", desiredState="Running")
        rig.phase("shop", "Failed", "NameConflict")
        assert rig.oracle.containers(rig.namespace) == []
        assert not rig.oracle.violations
    finally:
        rig.oracle.release()
        rig.shell("rm", "--force", *foreign)
    healed = time.monotonic()
    rig.converge()  # the next try of a definitive error may be a while away
    row.recovered(healed, 2)


def test_26_crash_looping_container(rig: Rig, row: Row) -> None:
    backoff = {"initialSeconds": 2, "maxSeconds": 6, "factor": 2}
    recovery = {"maxRetries": 4, "backoff": backoff}
    began = row.inject()
    rig.apply("crash", {"command": ["sh", "-c", "sleep 1; exit 1"], "recovery": recovery})
    status = rig.phase("crash", "Failed", "RetriesExhausted")
    starts = [e.at for e in rig.oracle.seen(began, rig.namespace) if e.action == "start"]
    deaths = [e.at for e in rig.oracle.ended(began, rig.namespace)]
    assert len(starts) == 5, "the first start and four retries"
    assert len(deaths) == 5
    waits = [start - death for start, death in zip(starts[1:], deaths, strict=False)]
    for wait, least in zip(waits, (0.0, 2.0, 4.0, 6.0), strict=True):
        assert wait >= least - 0.5, f"S8: {waits}"
    assert status["restartCount"] == 4
    assert rig.status_writes(began) <= 3 * len(starts), "at most 3 writes for a start"
    edited = time.monotonic()
    rig.edit("crash", command=["sleep", "infinity"])
    rig.converge(BOUND + NOISE)
    row.recovered(edited)


def _check_ended(rig: Rig, name: str, expected: dict[str, Any]) -> None:
    status: Object = rig.status(name)
    termination = status["lastTermination"]
    assert {key: termination.get(key) for key in expected} == expected, f"{name}: {status}"
    assert status["restartCount"] == 1, f"{name}: {status}"
    assert rig.container(name)["State"]["Running"], f"{name}: {status}"


def _repaired(rig: Rig, name: str) -> None:
    rig.oracle.check_converged(rig.namespace)
    assert rig.container("shop")["Name"] == name
