"""What events mean to the cache: how soon to look at a container, and whether the stream still tells of changes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

# How long an event waits before its inspect, in seconds. Who changed something through us inspects by itself right
# after, and that snapshot then vouches for the event too. An exit isn't delayed: a restart waits for it.
SETTLE = 0.5
_SETTLING = frozenset({"start", "pause", "unpause", "rename", "update", "oom"})
_SETTLE_EXEC = 1.0  # exec sessions come in swarms (editors), and only a counter shows them
_UNIMPORTANT = frozenset(
    {
        "create",  # by us: it's started and inspected next; by hand: the next list shows it
        "kill",  # a signal; what comes of it has events of its own, as with restart and stop
        "restart",
        "stop",
        *("archive-path", "attach", "commit", "copy", "detach", "exec_create", "exec_detach", "export"),
        *("extract-to-dir", "resize", "top"),
    }
)


def wait_before_look(action: str) -> float | None:
    """Seconds from an event of a container until it should be inspected; None where there is nothing to see."""
    if action in _UNIMPORTANT:
        return None
    if action.startswith("exec_"):
        return _SETTLE_EXEC
    return SETTLE if action in _SETTLING else 0.0


class Unheard:
    """Changes that lists showed and no event told of. Times are monotonic, in seconds.

    `last_event(container)`: when an event of it was last heard, None for a container that is gone.
    """

    def __init__(self, interval: float, last_event: Callable[[str], float | None]) -> None:
        self._interval, self._last_event = interval, last_event
        self._seen: dict[str, float] = {}

    def stream_is_dead(self, differing: Iterable[str], listed_at: float) -> bool:
        """Takes in what the last list showed otherwise than events did. True, once, where a change of an earlier list
        is still untold: the stream is dead without a word."""
        for container, seen in list(self._seen.items()):
            heard = self._last_event(container)
            if heard is None or heard > seen - self._interval:
                del self._seen[container]
            elif listed_at - seen > self._interval / 2:
                self._seen.clear()
                return True
        self._seen.update({container: listed_at for container in differing if container not in self._seen})
        return False
