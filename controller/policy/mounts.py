"""One entry of HostConfig.Mounts: a project's directory, or a named volume of ours. Nothing else is ever mounted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from controller import naming
from controller.policy.paths import path_allowed
from controller.policy.targets import target_problem

_KEYS = {"Type", "Source", "Target", "ReadOnly", "BindOptions", "VolumeOptions"}
_BIND_OPTIONS = {"Propagation", "NonRecursive", "CreateMountpoint"}
_VOLUME_OPTIONS = {"Labels", "NoCopy"}
_OWNER = (naming.LABEL_CLUSTER, naming.LABEL_NAMESPACE, naming.LABEL_NAME)


def mount_problem(mount: Mapping[str, Any], labels: Mapping[str, str], patterns: Sequence[str]) -> str | None:
    """Why the mount isn't allowed to the Workspace that the container's `labels` name, or None."""
    if unknown := set(mount) - _KEYS:
        return f"{', '.join(sorted(unknown))} not allowed"
    if problem := target_problem(str(mount.get("Target", ""))):
        return f"Target {mount.get('Target')!r} {problem}"
    match mount.get("Type"):
        case "bind":
            return _bind_problem(mount, patterns, labels[naming.LABEL_NAMESPACE])
        case "volume":
            return _volume_problem(mount, labels)
    return f"Type {mount.get('Type')!r} must be bind or volume"


def _bind_problem(mount: Mapping[str, Any], patterns: Sequence[str], namespace: str) -> str | None:
    source = str(mount.get("Source", ""))
    if not path_allowed(source, patterns, namespace):
        return f"Source {source!r} is not allowed by DockerHost policy.projectPaths: {', '.join(patterns) or 'nothing'}"
    options = mount.get("BindOptions") or {}
    if options.get("Propagation") != "rprivate":
        return "BindOptions.Propagation must be rprivate"
    if set(options) - _BIND_OPTIONS or options.get("NonRecursive") or options.get("CreateMountpoint"):
        return "BindOptions may hold Propagation only: Docker must not make directories"
    return "VolumeOptions don't fit a bind mount" if mount.get("VolumeOptions") else None


def _volume_problem(mount: Mapping[str, Any], labels: Mapping[str, str]) -> str | None:
    """The name must be the one that naming gives for this very Workspace: a prefix alone could be a neighbour's."""
    options = mount.get("VolumeOptions") or {}
    if set(options) - _VOLUME_OPTIONS:
        return "VolumeOptions may hold Labels and NoCopy only: options of a driver could mount the host"
    cluster, namespace, name = (labels[key] for key in _OWNER)
    volume = (options.get("Labels") or {}).get(naming.LABEL_VOLUME, "")
    if mount.get("Source") != naming.volume_name(cluster, namespace, name, volume):
        return f"Source {mount.get('Source')!r} is not the name of this Workspace's volume {volume!r}"
    return "BindOptions don't fit a volume" if mount.get("BindOptions") else None
