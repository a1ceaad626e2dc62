"""The one boundary between what Docker, its SDK and the network say, and our own errors.

Docker tells most failures apart by text alone, so texts are matched here; a few that mean "done already", where the
call is made.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping

import docker.errors
import requests
import urllib3.exceptions

from controller.errors import (
    CallTimeout,
    ConfigurationError,
    ContainerCannotRun,
    ContainerGone,
    EngineConflict,
    EngineError,
    HostUnreachable,
    ImageError,
    ImageUnavailable,
    NetworkUnavailable,
    NoAddressLeft,
    NoSpace,
    NotConnected,
    PortInUse,
    ProjectPathMissing,
    WorkspaceError,
)

_PORT_IN_USE = re.compile(r"port is already allocated|address already in use|all ports are allocated|no available port")
_PATH_MISSING = re.compile(
    r"bind source path does not exist: (?P<a>/\S*)"
    r"|error mounting \"(?P<b>/[^\"]*)\" to rootfs.*no such file or directory"
    r"|stat (?P<c>/\S+): no such file or directory: unknown"
)
_CANNOT_RUN = re.compile(
    r"OCI runtime|failed to create (?:shim )?task|executable file not found|permission denied|exec format error"
    r"|unable to find (?:user|group)|no matching entries in passwd",
    re.IGNORECASE,
)
_NOISE = re.compile(
    r"^.*?(?:unable to start container process: |error during container init: |starting container process caused: )"
    r"|^(?:failed to create (?:shim )?task(?: for container)?: |OCI runtime \w+ failed: |runc \w+ failed: )+|: unknown$"
)
_BUSY = re.compile(
    r"removal of container .* already in progress|device or resource busy|unable to remove filesystem|"
    r"operation not permitted|driver \"\S+\" failed to remove root filesystem"
)
_IMAGE_DENIED = re.compile(
    r"denied|unauthorized|authentication required|no basic auth|401 |403 |Forbidden", re.IGNORECASE
)
_IMAGE_MISSING = re.compile(
    r"manifest unknown|manifest for .* not found|name unknown|no such image|no matching manifest|not found|404 ",
    re.IGNORECASE,
)
# Not that the registry is down: its name leads nowhere from here. As definitive as a wrong image name, which it may be.
_RESPONSE_BODY = re.compile(r"(error parsing HTTP \d+) response body: .*", re.DOTALL)
_REGISTRY_NOWHERE = re.compile(r"no such host|network is unreachable|server misbehaving|name resolution")
_NOT_CONNECTED = (ConnectionRefusedError, FileNotFoundError, urllib3.exceptions.NewConnectionError)
_OTHER_VERSION = re.compile(
    r"client version \S+ is too (?:old|new)\. (?:Min|Max)imum supported API version is (?P<version>\d+\.\d+)"
)
_NETWORK_GONE = re.compile(r"network \S+ not found|could not find a network matching")


def engine_failure(error: BaseException, kind: str, deadline: float) -> WorkspaceError:
    """What an exception of a call means; `kind` is the call, `deadline` in seconds."""
    if isinstance(error, WorkspaceError):
        return error
    if isinstance(error, docker.errors.APIError):
        return _answer(error.status_code or 500, explanation(error), kind)
    if _is_read_timeout(error):
        return CallTimeout(f"{kind}: no answer within {deadline:g} s")
    if isinstance(error, (requests.RequestException, urllib3.exceptions.HTTPError, OSError, EOFError)):
        innermost = _innermost(error)
        made = HostUnreachable if not isinstance(innermost, _NOT_CONNECTED) else NotConnected
        return made(_connection_problem(error, innermost))
    if isinstance(error, docker.errors.DockerException) or _is_of_ssh(error):
        return HostUnreachable(f"{type(error).__name__}: {error}")
    return EngineError(f"{kind}: {type(error).__name__}")


def _is_of_ssh(error: BaseException) -> bool:
    paramiko = sys.modules.get("paramiko")  # imported for ssh:// hosts only; without it none of its errors exists
    return paramiko is not None and isinstance(error, paramiko.SSHException)


def pull_failure(message: str, reference: str) -> WorkspaceError:
    """What a registry, or the engine for it, answered to a pull. Not the body of an answer that isn't a registry's: a
    tenant can name whatever the host reaches."""
    message = _RESPONSE_BODY.sub(r"\1 answer: is this a registry?", message)
    if "invalid reference format" in message:
        return ImageUnavailable(f"{reference}: not an image reference", reason="InvalidImageName")
    if "no space left on device" in message:
        return NoSpace(message)
    if "toomanyrequests" in message:
        return ImageError(message)
    if _IMAGE_DENIED.search(message):
        return ImageUnavailable(f"{reference}: {message}", reason="ImageAccessDenied")
    if _IMAGE_MISSING.search(message):
        return ImageUnavailable(f"{reference}: {message}", reason="ImageNotFound")
    if _REGISTRY_NOWHERE.search(message):
        hint = "check the image's name, or load the image on the host"
        return ImageUnavailable(f"{reference}: its registry can't be found from the host; {hint} ({message})")
    return ImageError(f"{reference}: {message}")


def is_status(error: BaseException | None, status: int) -> bool:
    """Whether the engine answered with this HTTP status."""
    return isinstance(error, docker.errors.APIError) and error.status_code == status


def says(error: BaseException | None, words: str) -> bool:
    """Whether the engine answered with an error that has these words."""
    return isinstance(error, docker.errors.APIError) and words in explanation(error)


def version_asked_for(error: docker.errors.APIError) -> str | None:
    """The version of the API that an engine asks for where it refuses the one that was used."""
    found = _OTHER_VERSION.match(explanation(error)) if error.status_code == 400 else None
    return found["version"] if found else None


def is_network_gone(message: str) -> bool:
    """Whether a start failed because the container's network was removed. No other network can take its place."""
    return bool(_NETWORK_GONE.search(message))


def explanation(error: docker.errors.APIError) -> str:
    """The engine's own words, without the SDK's."""
    text = error.explanation or ""
    return (text.decode(errors="replace") if isinstance(text, bytes) else str(text)).strip()


def without_values(error: WorkspaceError, values: Iterable[str]) -> WorkspaceError:
    """The same error, in whose message none of the container's environment can stand (secrets are in it)."""
    message = str(error)
    for value in sorted((v for v in values if len(v) > 3), key=len, reverse=True):
        message = message.replace(value, "***")
    if "environment variable" in message:
        message = "the engine refuses the environment"
    return error if message == str(error) else type(error)(message, reason=error.reason)


def _answer(status: int, message: str, kind: str) -> WorkspaceError:
    if "no space left on device" in message:
        return NoSpace(message)
    if found := _PATH_MISSING.search(message):
        path = next(group for group in found.groups() if group)
        return ProjectPathMissing(f"{path} doesn't exist on the host; make the directory there, Docker must not")
    if is_network_gone(message):
        return NetworkUnavailable("the container's network was removed: it can't be started any more and is made anew")
    if kind == "start" and (error := _start_failure(message)):
        return error
    if kind == "update" and (found := re.search(r"unable to set .*\)", message)):
        return EngineConflict(f"the limits can't be changed now: {found[0]}")
    if kind == "create" and "Cannot mkdir" in message:
        return ConfigurationError(f"workingDir: {message}")
    if kind == "create" and status == 404 and "image" in message.lower():
        return ImageUnavailable(message, reason="ImageNotFound")
    if kind == "remove" and _BUSY.search(message):
        return EngineConflict(message)
    if status == 404 and kind in _OF_NO_CONTAINER:  # a driver or plugin that isn't there
        return EngineError(message)
    return _BY_STATUS.get(status, EngineError)(message)


_OF_NO_CONTAINER = frozenset({"create", "ensure_network", "networks", "info", "list"})
_BY_STATUS: Mapping[int, type[WorkspaceError]] = {400: ConfigurationError, 404: ContainerGone, 409: EngineConflict}


def _start_failure(message: str) -> WorkspaceError | None:
    if _PORT_IN_USE.search(message):
        return PortInUse(f"no free host port: {message.rpartition(': driver failed')[2] or message}")
    if "no available IPv4 addresses" in message:
        return NoAddressLeft(
            "the namespace's network on the host has no address left: stop or delete Workspaces of this namespace and "
            "network mode, or see the DockerHost's spec.policy.addressPool.size"
        )
    if _CANNOT_RUN.search(message):
        return ContainerCannotRun(readable(message))
    return None


def readable(message: str) -> str:
    """What a runtime complains about, without the names of the layers that handed it on."""
    while (shorter := _NOISE.sub("", message).strip()) != message:
        message = shorter
    return message


def _is_read_timeout(error: BaseException) -> bool:
    """Also the one that requests wraps in a ConnectionError while it reads a body."""
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return False
    if isinstance(error, (requests.exceptions.ReadTimeout, urllib3.exceptions.ReadTimeoutError, TimeoutError)):
        return True
    return isinstance(error, requests.exceptions.ConnectionError) and any(
        isinstance(arg, urllib3.exceptions.ReadTimeoutError) for arg in error.args
    )


def _innermost(error: BaseException) -> BaseException:
    """The reason: 'Connection refused' says more than the wrapping of three libraries."""
    innermost: BaseException = error
    seen: set[int] = set()
    while id(innermost) not in seen:
        seen.add(id(innermost))
        inner = [arg for arg in innermost.args if isinstance(arg, BaseException)]
        reason = getattr(innermost, "reason", None)
        innermost = reason if isinstance(reason, BaseException) else inner[-1] if inner else innermost
    return innermost


def _connection_problem(error: BaseException, innermost: BaseException) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return "the host doesn't accept connections"
    if isinstance(innermost, PermissionError):
        return "no connection to the engine: Permission denied: the controller isn't in the group that owns the socket"
    if isinstance(innermost, OSError) and innermost.strerror:
        return f"no connection to the engine: {innermost.strerror}"
    return f"no connection to the engine: {innermost}"
