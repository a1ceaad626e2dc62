"""Names and labels of what we make on a host. The cluster ID and the uid are the identity; names are for people."""

from __future__ import annotations

import hashlib

from controller.api import ABANDON, GROUP, RESTARTED_AT

LABEL_CLUSTER = f"{GROUP}/cluster"
LABEL_NAMESPACE = f"{GROUP}/namespace"
LABEL_NAME = f"{GROUP}/name"
LABEL_UID = f"{GROUP}/uid"
LABEL_HOST = f"{GROUP}/host"
LABEL_CONFIG_HASH = f"{GROUP}/config-hash"
LABEL_CONTROLLER_VERSION = f"{GROUP}/controller-version"
LABEL_REFERENCES = f"{GROUP}/references"  # uid and resourceVersion of each Secret and ConfigMap that was read
LABEL_VOLUME = f"{GROUP}/volume"
LABEL_NETWORK_MODE = f"{GROUP}/network-mode"

FINALIZER = f"{GROUP}/container"
HOST_FINALIZER = f"{GROUP}/in-use"
ANNOTATION_RESTARTED_AT, ANNOTATION_ABANDON = RESTARTED_AT, ABANDON
ANNOTATION_USAGE = f"{GROUP}/usage"
ANNOTATION_OPERATION = f"{GROUP}/operation"  # the last WorkspaceOperation that changed the Workspace, as name/uid
ANNOTATIONS = frozenset({ANNOTATION_RESTARTED_AT, ANNOTATION_ABANDON, ANNOTATION_USAGE, ANNOTATION_OPERATION})

NAME_LIMIT = 128  # characters; Docker has no bound of its own, but a hostname and many tools do
NEXT_SUFFIX = "-next"  # of the container that is made while its predecessor still runs
OLD_SUFFIX = "-old"  # of the predecessor that has ended and is about to be removed; not longer than the other one


def container_name(namespace: str, name: str, uid: str) -> str:
    """The name of a Workspace's container: always the same, so that a create that is tried again can't multiply it."""
    return cut(f"ws-{namespace}-{name}", f"-{uid[:8]}", NAME_LIMIT - len(NEXT_SUFFIX))


def volume_name(cluster: str, namespace: str, workspace: str, volume: str) -> str:
    """The name of a named volume. It outlives the uid: a Workspace made again under its name finds what was retained.

    Namespaces and names may hold dashes, so joining them alone would let two different Workspaces meet in one volume:
    the digest over the separate parts is what makes the name unique, the rest is for people.
    """
    digest = _digest(cluster, namespace, workspace, volume)
    return cut(f"ws-{namespace}-{workspace}-{volume}", f"-{digest}", NAME_LIMIT)


def network_name(cluster: str, namespace: str, mode: str) -> str:
    """The name of a namespace's bridge on a host, one for each mode in use."""
    return cut(f"ws-{namespace}-{mode.lower()}", f"-{_digest(cluster, namespace, mode)}", NAME_LIMIT)


def cut(text: str, suffix: str, limit: int) -> str:
    """`text` + `suffix` in at most `limit` characters; where text is cut, a digest of it keeps the result unique."""
    if len(text) + len(suffix) <= limit:
        return text + suffix
    digest = "-" + _digest(text)
    return text[: limit - len(suffix) - len(digest)] + digest + suffix


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:8]
