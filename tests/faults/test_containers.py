"""What happens to containers behind the controller's back."""

from __future__ import annotations

from tests.faults.report import Row
from tests.faults.rig import NOISE, Rig
from tests.waiting import eventually

REPAIR = 10.0  # seconds


def test_13_container_paused_renamed_removed_stopped_by_hand(rig: Rig, row: Row) -> None:
    rig.apply("shop")
    first = rig.running("shop")
    for verb, arguments in (("pause", ()), ("rename", ("elsewhere",)), ("stop", ("--time=1",)), ("rm", ("--force",))):
        container = rig.container("shop")["Id"]
        began = row.inject()
        words = [*arguments, container] if verb in ("stop", "rm") else [container, *arguments]
        rig.shell(verb, *words)
        eventually(lambda: _repaired(rig, first["Name"]), REPAIR + NOISE, interval=0.1)
        took = row.recovered(began)
        assert took < REPAIR + NOISE
    assert rig.status("shop")["restartCount"] == 1, "removal by hand is no exit"


def _repaired(rig: Rig, name: str) -> None:
    rig.oracle.check_converged(rig.namespace)
    assert rig.container("shop")["Name"] == name
