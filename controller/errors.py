"""What can go wrong, as users see it: one small tree, raised at the edges and shown on the status.

Each error carries the four things that a status needs: its class, a CamelCase reason, a message, and whether it is
definitive. Definitive means that trying again soon can't help (the image does not exist, the policy says no): the
Workspace is Stalled and is tried again slowly. Everything else is tried again with a short back-off.
"""

from __future__ import annotations

from controller.api import ErrorClass

MESSAGE_LIMIT = 1024  # characters; a status must stay small, and messages of engines can hold whole outputs


class WorkspaceError(Exception):
    """Base of all errors that a status shows. `str(error)` is the message: bounded, without control characters."""

    error_class = ErrorClass.GENERIC
    reason = "Error"
    definitive = False

    def __init__(self, message: str, *, reason: str | None = None) -> None:
        super().__init__(printable(message))
        if reason is not None:
            self.reason = reason


class EngineError(WorkspaceError):
    """The engine answered with an error that we have no better name for (HTTP 500)."""

    error_class = ErrorClass.DOCKER
    reason = "EngineError"


class HostUnreachable(WorkspaceError):
    """No answer from the host: what is there is unknown, which is not the same as absent."""

    error_class = ErrorClass.NETWORK
    reason = "HostUnreachable"


class NotConnected(HostUnreachable):
    """No connection could be made: the call was never sent, so it did nothing, to the engine neither."""


class CallTimeout(WorkspaceError):
    """A call took longer than its deadline. Whether it took effect is unknown: look, don't repeat."""

    error_class = ErrorClass.DOCKER
    reason = "EngineTimeout"


class ContainerGone(WorkspaceError):
    """The container (or volume, or network) that the call named isn't there any more: look again."""

    error_class = ErrorClass.DOCKER
    reason = "ContainerGone"


class EngineConflict(WorkspaceError):
    """The engine refuses in the state the container is in (HTTP 409), such as less memory than is in use."""

    error_class = ErrorClass.DOCKER
    reason = "EngineConflict"


class NameConflict(WorkspaceError):
    """The name we want is held by a container that isn't ours. We never touch that one."""

    error_class = ErrorClass.DOCKER
    reason = "NameConflict"
    definitive = True


class IdentityMismatch(WorkspaceError):
    """A container doesn't carry the labels that were expected of it right before it was to be removed."""

    error_class = ErrorClass.DOCKER
    reason = "IdentityMismatch"


class ImageError(WorkspaceError):
    """The image can't be had now: registry down, pull without progress."""

    error_class = ErrorClass.IMAGE
    reason = "ErrImagePull"


class ImageUnavailable(ImageError):
    """A definitive answer about the image: not found, no right to pull it, never to be pulled, a bad reference."""

    definitive = True


class PortInUse(WorkspaceError):
    """No free host port for a published port."""

    error_class = ErrorClass.NETWORK
    reason = "PortInUse"


class NetworkUnavailable(WorkspaceError):
    """The namespace's network can't be made: address pool used up, or overlapping with another network."""

    error_class = ErrorClass.NETWORK
    reason = "NetworkUnavailable"


class NoAddressLeft(WorkspaceError):
    """All addresses of the namespace's network are taken."""

    error_class = ErrorClass.NETWORK
    reason = "NoAddressLeft"


class NoSpace(WorkspaceError):
    """The host's disk is full."""

    error_class = ErrorClass.STORAGE
    reason = "NoSpaceLeft"


class ConfigurationError(WorkspaceError):
    """The object asks for what can't be: the user must change something. Definitive."""

    error_class = ErrorClass.CONFIGURATION
    reason = "InvalidConfiguration"
    definitive = True


class PolicyViolation(ConfigurationError):
    """The DockerHost's policy says no. The message names the field and the rule."""

    reason = "PolicyViolation"


class HostNotFound(ConfigurationError):
    """The Workspace names a DockerHost that doesn't exist."""

    reason = "HostNotFound"

    def __init__(self, host: str) -> None:
        hint = "`kubectl get dockerhosts`, or your administrator, tells which there are"
        super().__init__(f"spec.host: there is no DockerHost {host!r}; {hint}")


class HostTerminating(ConfigurationError):
    """The DockerHost is being deleted. It may well be made again."""

    reason = "HostTerminating"


class ReferenceNotFound(ConfigurationError):
    """A Secret or ConfigMap, or a key in it, is missing."""

    reason = "ReferenceNotFound"


class ReferenceForbidden(ReferenceNotFound):
    """A Secret or ConfigMap that the controller has no right to read."""

    reason = "ReferenceForbidden"


class ProjectPathMissing(ConfigurationError):
    """The project's directory doesn't exist on the host; Docker must not make it."""

    reason = "ProjectPathMissing"


class ContainerCannotRun(ConfigurationError):
    """The container was made but its process can't be started: no such command, not executable, bad user."""

    reason = "ContainerCannotRun"


def printable(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The text on one line, control characters escaped (they could forge log lines), cut at `limit` characters."""
    clean = "".join(
        c if c.isprintable() else " " if c in "\n\r\t" else c.encode("unicode_escape").decode() for c in text
    )
    clean = " ".join(clean.split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
