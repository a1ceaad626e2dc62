"""Whose is it? The checks that every engine makes before it adopts or removes. Names are for people, labels decide."""

from __future__ import annotations

from collections.abc import Mapping

from controller import naming
from controller.container_spec import ContainerSpec, NetworkSpec
from controller.errors import EngineConflict, IdentityMismatch, NameConflict, WorkspaceError
from controller.observed import Container


def adopted(holder: Container, cluster_id: str, name: str, spec: ContainerSpec) -> str:
    """The ID of the container that holds the name we want, if it's the very one that we would make.

    So an earlier create whose answer was lost isn't done twice. Raises NameConflict, EngineConflict as `name_taken`.
    """
    labels = dict(spec.labels)
    uid = labels.get(naming.LABEL_UID, "")
    if _is_same(holder, cluster_id, uid) and holder.config_hash == labels.get(naming.LABEL_CONFIG_HASH, ""):
        return holder.id
    raise name_taken(name, holder, cluster_id, uid)


def name_taken(name: str, holder: Container, cluster_id: str, uid: str) -> WorkspaceError:
    """Why a name can't be had: held by an older container of the same Workspace (that passes), or by a foreign one."""
    if _is_same(holder, cluster_id, uid):
        return EngineConflict(f"the name {name} is still held by container {holder.id[:12]} of the same Workspace")
    return NameConflict(
        f"the container name {name} is held by container {holder.id[:12]}, which isn't this Workspace's; "
        "it's left alone: rename or remove it by hand"
    )


def check_identity(holder: Container, cluster_id: str, uid: str) -> None:
    """Right before a removal. Raises IdentityMismatch."""
    if not uid or not _is_same(holder, cluster_id, uid):
        raise IdentityMismatch(f"container {holder.id[:12]} doesn't carry the labels of this cluster and Workspace")


def network_labels(cluster_id: str, spec: NetworkSpec) -> Mapping[str, str]:
    """What marks a bridge as ours."""
    return {
        naming.LABEL_CLUSTER: cluster_id,
        naming.LABEL_NAMESPACE: spec.namespace,
        naming.LABEL_NETWORK_MODE: spec.mode,
    }


def _is_same(holder: Container, cluster_id: str, uid: str) -> bool:
    return holder.labels.get(naming.LABEL_CLUSTER) == cluster_id and holder.uid == uid
