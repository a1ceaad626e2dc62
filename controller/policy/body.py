"""The last word: the very body that is about to be POSTed to Docker's /containers/create.

An allow-list in the engine's words. A key that isn't listed here is refused whatever its value, for Docker ignores the
case of keys and takes the last of two: an innocent `pidslimit: null` would undo `PidsLimit`. Values of Env are never
shown.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from controller import naming
from controller.api import GROUP, HostPolicy
from controller.errors import ConfigurationError, PolicyViolation
from controller.observed import Limits
from controller.policy.capabilities import ALL, DEFAULT_DROPS, capability_allowed, capability_name
from controller.policy.images import image_allowed
from controller.policy.limits import excesses
from controller.policy.mounts import mount_problem
from controller.policy.namespaces import namespace_name_allowed
from controller.policy.problems import port_range
from controller.policy.targets import target_problem

LOG_CONFIG = {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}
"""Log rotation of every container: a flood of output fills 30 MB and no more."""

MAX_ENV_BYTES = 2_000_000
"""Of a container's environment: the kernel starts nothing with more than 2 MiB, and we would have to hold it."""

_IDENTITY = (naming.LABEL_CLUSTER, naming.LABEL_NAMESPACE, naming.LABEL_NAME, naming.LABEL_UID)
_NO_NEW_PRIVILEGES = ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true")
_NETWORK_ID = re.compile(r"[0-9a-f]{64}")
_USER = re.compile(r"([0-9]{1,10}(:[0-9]{1,10})?)?")
_SHORT_IMAGE_ID = re.compile(r"[0-9a-f]+")

_PLAIN = frozenset({"Cmd", "Entrypoint", "ExposedPorts", "Healthcheck", "Hostname", "OpenStdin", "Tty"})
"""Keys of the body that concern the inside of the container only, and so may hold anything."""
_PLAIN_HOST = frozenset({"Init", "ReadonlyRootfs"})
_LIMITS = frozenset({"CpuShares", "Memory", "MemoryReservation", "MemorySwap", "NanoCpus", "PidsLimit"})

_Check = Callable[[Any, Mapping[str, Any], HostPolicy, str], None]


def check_body(body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    """Raises PolicyViolation, naming the body's field and the rule, unless `policy` allows `namespace` a container made
    from `body`. What may be absent is decided by what Docker would take in its place."""
    selector = policy.namespaces.selector
    if selector is None and not namespace_name_allowed(policy, namespace):
        _refuse("Labels", f"namespace {namespace!r} is not listed by DockerHost policy.namespaces")
    host_config = body.get("HostConfig")
    if not isinstance(host_config, Mapping):
        _refuse("HostConfig", "must be an object")
    _check_keys("", body, _PLAIN | _BODY.keys() | {"HostConfig"})
    _check_keys("HostConfig.", host_config, _PLAIN_HOST | _LIMITS | _HOST.keys())
    for key, check in _BODY.items():
        check(body.get(key), body, policy, namespace)
    for key, check in _HOST.items():
        check(host_config.get(key), body, policy, namespace)
    _check_limits(host_config, policy)


def _refuse(field: str, rule: str) -> NoReturn:
    raise PolicyViolation(f"{field}: {rule}")


def _check_keys(prefix: str, found: Mapping[str, Any], known: frozenset[str]) -> None:
    for key in found:
        if key not in known:
            _refuse(f"{prefix}{key}", "is not on the list of what Workspaces may have")


def _check_limits(host: Mapping[str, Any], policy: HostPolicy) -> None:
    for key in _LIMITS:
        if key in host and type(host[key]) is not int:
            _refuse(f"HostConfig.{key}", "must be an integer")
    limits = Limits(
        nano_cpus=host.get("NanoCpus", 0),
        cpu_shares=host.get("CpuShares", 0),
        memory=host.get("Memory", 0),
        memory_swap=host.get("MemorySwap", 0),
        memory_reservation=host.get("MemoryReservation", 0),
        pids=host.get("PidsLimit", 0),
    )
    for excess in excesses(limits, policy):
        _refuse(f"HostConfig.{excess.body_field}", excess.rule)


def _image(image: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    if not isinstance(image, str) or _SHORT_IMAGE_ID.fullmatch(image):
        _refuse("Image", "must be a reference with a tag or a digest, for Docker could read it as the ID of any image")
    try:
        allowed = image_allowed(image, policy.images)
    except ConfigurationError as error:
        _refuse("Image", str(error))
    if not allowed:
        _refuse("Image", f"{image} is not allowed by DockerHost policy.images: {', '.join(policy.images) or 'nothing'}")


def _labels(labels: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    labels = labels or {}
    for key in _IDENTITY:
        if not labels.get(key):
            _refuse("Labels", f"{key} must be there, it is part of the container's identity")
    if labels[naming.LABEL_NAMESPACE] != namespace:
        _refuse("Labels", f"{naming.LABEL_NAMESPACE} must be {namespace!r}")
    for key in labels:
        if not key.startswith(f"{GROUP}/") and labels[key] != "":  # empty: takes away what the image says
            _refuse("Labels", f"{key!r} is not one of ours; other tools act on labels")


def _working_dir(path: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    if not isinstance(path, str) or not path:
        _refuse("WorkingDir", "must be set, or the image's own would be taken unseen")
    if problem := target_problem(path, root_allowed=True):
        _refuse("WorkingDir", f"{path!r} {problem}")


def _user(user: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    if not isinstance(user or "", str) or not _USER.fullmatch(user or ""):
        _refuse("User", "must be a number, or two with ':' between them")


def _env(env: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    for entry in env or ():
        if not isinstance(entry, str) or entry.find("=") < 1 or "\0" in entry:
            name = entry.partition("=")[0] if isinstance(entry, str) and "=" in entry else "an entry"
            _refuse("Env", f"{name[:64]!r} must be NAME=value without NUL")
    if sum(map(len, env or ())) > MAX_ENV_BYTES:
        _refuse("Env", f"must have {MAX_ENV_BYTES} bytes at most, all in all")


def _endpoints(config: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    config = config or {}
    mode = body["HostConfig"].get("NetworkMode")
    if set(config) - {"EndpointsConfig"}:
        _refuse("NetworkingConfig", "may hold EndpointsConfig only")
    for network, endpoint in (config.get("EndpointsConfig") or {}).items():
        if network != mode:
            _refuse("NetworkingConfig.EndpointsConfig", f"{network!r} is not HostConfig.NetworkMode")
        if set(endpoint or {}) - {"Aliases"}:
            _refuse("NetworkingConfig.EndpointsConfig", "addresses and drivers are the engine's business")


def _mounts(mounts: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    for number, mount in enumerate(mounts or ()):
        if problem := mount_problem(mount, body["Labels"], policy.project_paths):
            _refuse(f"HostConfig.Mounts[{number}]", problem)


def _security(options: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    options = options or []
    for option in options:
        if option not in _NO_NEW_PRIVILEGES:
            _refuse("HostConfig.SecurityOpt", f"{option!r}: seccomp, AppArmor and SELinux stay as they are")
    if not options and not policy.allow_privilege_escalation:
        rule = "must hold no-new-privileges: DockerHost policy.allowPrivilegeEscalation is false"
        _refuse("HostConfig.SecurityOpt", rule)


def _cap_add(capabilities: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    for capability in capabilities or ():
        if not capability_allowed(capability, policy.capabilities):
            _refuse("HostConfig.CapAdd", f"{capability} is not allowed by DockerHost policy.capabilities")


def _cap_drop(capabilities: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    dropped = {capability_name(c) for c in capabilities or ()}
    added = {capability_name(c) for c in body["HostConfig"].get("CapAdd") or ()}
    missing = DEFAULT_DROPS - dropped - added
    if missing and ALL not in dropped | added:
        _refuse("HostConfig.CapDrop", f"must hold {', '.join(sorted(missing))}")


def _network_mode(mode: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    ours = isinstance(mode, str) and (_NETWORK_ID.fullmatch(mode) or mode.startswith(f"ws-{namespace}-"))
    if mode != "none" and not ours:
        _refuse("HostConfig.NetworkMode", f"{mode!r} must be 'none' or the namespace's own network")


def _ports(bindings: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    for port, addresses in (bindings or {}).items():
        field = f"HostConfig.PortBindings[{port}]"
        if not addresses:
            _refuse(field, "must name the host's address and port, or Docker chooses any")
        for address in addresses:
            if address.get("HostIp") != policy.ports.address:
                _refuse(field, f"HostIp must be DockerHost policy.ports.address: {policy.ports.address}")
            if not _within_range(address.get("HostPort"), policy):
                _refuse(field, f"HostPort must be within DockerHost policy.ports.range: {policy.ports.range}")


def _within_range(asked: Any, policy: HostPolicy) -> bool:
    if not isinstance(asked, str) or not re.fullmatch(r"[0-9]{1,5}(-[0-9]{1,5})?", asked):
        return False
    first, _, last = asked.partition("-")
    allowed = port_range(policy)
    return int(first) in allowed and int(last or first) in allowed and int(first) <= int(last or first)


def _log_config(config: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    if config != LOG_CONFIG:
        _refuse("HostConfig.LogConfig", "must be json-file, rotated at 10 MB, three files")


def _restart_policy(restart: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
    if (restart or {}).get("Name") not in (None, "", "no"):
        _refuse("HostConfig.RestartPolicy", "must be 'no': the controller restarts containers")


def _is_one_of(field: str, *values: str | None) -> _Check:
    def check(value: Any, body: Mapping[str, Any], policy: HostPolicy, namespace: str) -> None:
        if value not in values:
            _refuse(f"HostConfig.{field}", f"must be {' or '.join(repr(v) for v in values if v)}, or left out")

    return check


_BODY: Mapping[str, _Check] = {
    "Image": _image,
    "Labels": _labels,
    "WorkingDir": _working_dir,
    "User": _user,
    "Env": _env,
    "NetworkingConfig": _endpoints,
}
_HOST: Mapping[str, _Check] = {
    "Mounts": _mounts,
    "SecurityOpt": _security,
    "CapAdd": _cap_add,
    "CapDrop": _cap_drop,
    "NetworkMode": _network_mode,
    "PortBindings": _ports,
    "LogConfig": _log_config,
    "RestartPolicy": _restart_policy,
    "IpcMode": _is_one_of("IpcMode", None, "", "private", "none"),
    "CgroupnsMode": _is_one_of("CgroupnsMode", None, "", "private"),
}
