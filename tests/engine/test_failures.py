"""What engines, registries and networks say, and what we make of it. The texts are from dockerd 20.10 and 29."""

from __future__ import annotations

import docker.errors
import pytest
import requests
import urllib3.exceptions

from controller.engine.failures import engine_failure, pull_failure, readable, without_values
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

SHIM = "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: "


def answer(status: int, message: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = status
    return docker.errors.APIError("error", response=response, explanation=message)


@pytest.mark.parametrize(
    ("kind", "status", "message", "expected"),
    [
        ("start", 500, "driver failed programming external connectivity on endpoint ws-a (e1): "
         "Bind for 127.0.0.1:21001 failed: port is already allocated", PortInUse),
        ("start", 500, "Error starting userland proxy: listen tcp4 127.0.0.1:21000: bind: address already in use",
         PortInUse),
        ("start", 500, "failed to set up container networking: driver failed programming external connectivity on "
         "endpoint ws-a: failed to bind host port 127.0.0.1:21000/tcp: address already in use", PortInUse),
        ("start", 500, "no available IPv4 addresses on this network's address pools: ws-a-isolated-51c05971 (6decda)",
         NoAddressLeft),
        ("start", 400, SHIM + 'exec: "nosuch": executable file not found in $PATH: unknown', ContainerCannotRun),
        ("start", 400, SHIM + 'exec: "/etc/passwd": permission denied: unknown', ContainerCannotRun),
        ("start", 500, SHIM + "error during container init: exec /x: exec format error: unknown", ContainerCannotRun),
        ("start", 400, "unable to find user ghost: no matching entries in passwd file", ContainerCannotRun),
        ("start", 404, "network 178d49ed not found", NetworkUnavailable),
        ("start", 404, "failed to set up container networking: could not find a network matching network mode 9a59: "
         "network 9a59 not found", NetworkUnavailable),
        ("start", 404, "No such container: f00", ContainerGone),
        ("start", 409, "cannot start a paused container, try unpause instead", EngineConflict),
        ("start", 500, "write /var/lib/docker/x: no space left on device", NoSpace),
        ("start", 500, "something else", EngineError),
        ("create", 400, 'invalid mount config for type "bind": bind source path does not exist: /srv/x',
         ProjectPathMissing),
        ("create", 404, "No such image: alpine:3", ImageUnavailable),
        ("create", 400, "Minimum memory limit allowed is 6MB", ConfigurationError),
        ("create", 500, "Cannot mkdir: /etc/passwd is not a directory", ConfigurationError),
        ("create", 500, "error creating overlay mount: no space left on device", NoSpace),
        ("update", 500, "Cannot update container d: runc did not terminate successfully: exit status 1: unable to set "
         "memory limit to 16777216 (current usage: 53014528, peak usage: 54489088) : unknown", EngineConflict),
        ("remove", 409, "removal of container f00 is already in progress", EngineConflict),
        ("remove", 500, "unable to remove filesystem for 0b: unlinkat /x/stuck: operation not permitted",
         EngineConflict),
        ("inspect", 500, "HTTP 500", EngineError),
        ("inspect", 503, "HTTP 503", EngineError),
    ],
)  # fmt: skip
def test_answers_of_the_engine_have_a_name(
    kind: str, status: int, message: str, expected: type[WorkspaceError]
) -> None:
    assert type(engine_failure(answer(status, message), kind, 4.0)) is expected


@pytest.mark.parametrize(
    ("message", "reason", "expected"),
    [
        ("manifest for r/a:2 not found: manifest unknown: manifest unknown", "ImageNotFound", ImageUnavailable),
        ('failed to resolve reference "r/a:2": r/a:2: not found', "ImageNotFound", ImageUnavailable),
        ("no matching manifest for linux/arm64 in the manifest list entries", "ImageNotFound", ImageUnavailable),
        ("pull access denied for x, repository does not exist or may require 'docker login': denied: requested access "
         "to the resource is denied", "ImageAccessDenied", ImageUnavailable),
        ("Get http://r/v2/a/manifests/1: no basic auth credentials", "ImageAccessDenied", ImageUnavailable),
        ("unauthorized: authentication required", "ImageAccessDenied", ImageUnavailable),
        ("toomanyrequests: You have reached your pull rate limit", "ErrImagePull", ImageError),
        ('Get "https://r/v2/": dial tcp 10.0.0.1:443: connect: connection refused', "ErrImagePull", ImageError),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', "ErrImagePull", ImageUnavailable),
        ("write /var/lib/docker/tmp/x: no space left on device", "NoSpaceLeft", NoSpace),
    ],
)  # fmt: skip
def test_answers_to_a_pull_have_a_reason(message: str, reason: str, expected: type[WorkspaceError]) -> None:
    failure = pull_failure(message, "r/a:2")
    assert type(failure) is expected
    assert failure.reason == reason


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (requests.exceptions.ReadTimeout(), CallTimeout),
        (requests.exceptions.ConnectionError(urllib3.exceptions.ReadTimeoutError(None, "", "late")), CallTimeout),
        (TimeoutError(), CallTimeout),
        (requests.exceptions.ConnectTimeout(), HostUnreachable),
        (requests.exceptions.ConnectionError(ConnectionRefusedError(111, "Connection refused")), NotConnected),
        (requests.exceptions.ConnectionError(urllib3.exceptions.NewConnectionError(None, "refused")), NotConnected),
        (FileNotFoundError(2, "No such file or directory"), NotConnected),
        (requests.exceptions.ChunkedEncodingError(), HostUnreachable),
        (requests.exceptions.SSLError("certificate verify failed"), HostUnreachable),
        (ConnectionResetError(104, "Connection reset by peer"), HostUnreachable),
        (EOFError(), HostUnreachable),
        (KeyError("Id"), EngineError),
    ],
)  # fmt: skip
def test_trouble_with_the_connection_is_told_from_answers(error: Exception, expected: type[WorkspaceError]) -> None:
    assert type(engine_failure(error, "inspect", 4.0)) is expected


def test_the_innermost_reason_is_shown() -> None:
    refused = ConnectionRefusedError(111, "Connection refused")
    wrapped = requests.exceptions.ConnectionError(urllib3.exceptions.ProtocolError("Connection aborted.", refused))
    assert str(engine_failure(wrapped, "list", 4.0)) == "no connection to the engine: Connection refused"


def test_what_cannot_run_is_said_without_the_layers_names() -> None:
    message = SHIM + 'exec: "nosuch": executable file not found in $PATH: unknown'
    assert readable(message) == 'exec: "nosuch": executable file not found in $PATH'


def test_values_of_the_environment_are_cut_from_messages() -> None:
    error = ConfigurationError("bad: canary-value and canary", reason="Bad")
    cleaned = without_values(error, ["canary", "canary-value", "x"])
    assert str(cleaned) == "bad: *** and ***"
    assert (type(cleaned), cleaned.reason) == (ConfigurationError, "Bad")
    assert "x=1" not in str(without_values(EngineError("invalid environment variable: x=1"), []))


def test_what_is_no_registry_has_its_answer_kept_to_itself() -> None:
    words = "error parsing HTTP 403 response body: invalid character 'd': \"db_password=hunter2\\nmore\""
    failure = pull_failure(f"Get http://127.0.0.1:9200/v2/: {words}", "127.0.0.1:9200/a:1")
    assert "hunter2" not in str(failure)
    assert "HTTP 403 answer: is this a registry?" in str(failure)
