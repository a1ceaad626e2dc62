"""How a container is brought to its end: the stop signal once, SIGKILL when the grace period is over. No I/O, no clock.

Level-triggered as all else: each plan asks again what the next step is, and when to look again. No call waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from controller import actions as act
from controller.errors import ConfigurationError
from controller.history import HEARS_AFTER, Memory, Now, Sent
from controller.observed import Container, ContainerState


@dataclass(slots=True)
class Stopping:
    """The stops of one plan. `grace`: seconds from the signal to SIGKILL."""

    memory: Memory
    now: Now
    grace: float
    meant: set[str] = field(default_factory=set)  # the containers that are meant to end

    def thaw_and_stop(self, container: Container, reason: str) -> list[act.Action]:
        """As `stop`, of one that may be paused."""
        steps: list[act.Action] = []
        if container.state is ContainerState.PAUSED:
            steps.append(act.Unpause(container.id, reason="a frozen process can't react to a stop signal"))
        return steps + self.stop(container, reason)

    def stop(self, container: Container, reason: str, asked: bool = True) -> list[act.Action]:
        """The next step; none while it has time to end. `asked`: whether the exit that follows was asked for."""
        self.meant.add(container.id)
        sent = self._sent(container)
        if sent is None and self._signal_refused():
            return [act.Kill(container.id, reason=f"{reason}; the engine refuses its image's stop signal")]
        if sent is None:
            return [act.Signal(container.id, container.stop_signal, asked, reason=reason)]
        if sent.early and self.now.mono >= sent.at + HEARS_AFTER:
            again = f"{reason}; the first signal came right after its start and may have been missed"
            return [act.Signal(container.id, container.stop_signal, asked, reason=again)]
        if self.now.mono >= sent.at + self.grace:
            return [act.Kill(container.id, reason=f"{reason}; it did not end in {self.grace} s")]
        return []

    def look_again(self, containers: Iterable[Container]) -> list[float]:
        """When (monotonic seconds) those of `containers` that were signalled need their next step."""
        sent = [s for c in containers if c.is_live and (s := self._sent(c)) is not None]
        return [s.at + (HEARS_AFTER if s.early else self.grace) for s in sent]

    def _sent(self, container: Container) -> Sent | None:
        """The stop signal that we sent to this run of the container (a later run has another start time)."""
        sent = self.memory.signalled.get(container.id)
        return sent if sent is not None and sent.started_at == container.started_at else None

    def _signal_refused(self) -> bool:
        """Whether there is no way to stop it gently: images can name signals that don't exist, and then the engine
        takes none but SIGKILL."""
        failure = self.memory.failures.get("Signal")
        return failure is not None and isinstance(failure.error, ConfigurationError)
