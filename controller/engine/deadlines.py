"""How long each call may take, in seconds. After its deadline the outcome of a call is unknown: look, don't repeat."""

from __future__ import annotations

from collections.abc import Mapping

CALL_DEADLINES: Mapping[str, float] = {
    "info": 4.0,
    "list": 4.0,  # the next list is due by then
    "inspect": 4.0,
    "stats": 10.0,
    "create": 60.0,  # the engine copies up a new volume's content meanwhile
    "start": 30.0,
    "signal": 10.0,
    "pause": 10.0,
    "unpause": 10.0,
    "update": 10.0,
    "rename": 10.0,
    "remove": 30.0,
    "ensure_network": 20.0,
    "networks": 10.0,
    "remove_network": 20.0,
    "remove_volume": 30.0,
    "image": 10.0,
    "may_pull": 30.0,  # the engine asks a registry
}
PULL_STALL = 120.0  # without progress; a pull as a whole may take as long as it likes
