"""Reads Workspaces as the API server has them, and what they refer to."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError

from controller import naming
from controller.api import (
    DesiredState,
    ObjectMeta,
    ReadableStatus,
    Workspace,
    WorkspaceOperation,
    WorkspaceSpec,
    WorkspaceStatus,
)
from controller.desired import UnreadableWorkspace, environment
from controller.references import Source

logger = logging.getLogger(__name__)
_STATUS: TypeAdapter[WorkspaceStatus] = TypeAdapter(ReadableStatus)


def parse_workspace(raw: Mapping[str, Any]) -> Workspace:
    """A Workspace as the API server has it. One that an older or newer CRD let in and that we can't read is kept with
    its problem, so that it is shown as refused instead of being forgotten (and its container taken for an orphan)."""
    raw = _without_what_nobody_reads(raw)
    try:
        return Workspace.model_validate(raw)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False))
        name = "/".join((raw["metadata"]["namespace"], raw["metadata"]["name"]))
        logger.warning("a Workspace can't be read", extra={"workspace": name, "error": wrong})
        meta = ObjectMeta.model_validate(raw["metadata"])
        status = _STATUS.validate_python(raw.get("status") or {})
        asked = raw.get("spec") or {}
        state = str(asked.get("desiredState"))
        spec = WorkspaceSpec.model_construct(
            host=str(asked.get("host", "default")),
            desired_state=DesiredState(state) if state in set(DesiredState) else DesiredState.RUNNING,
        )
        return UnreadableWorkspace(metadata=meta, spec=spec, status=status, problem=wrong)


def _without_what_nobody_reads(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    """Labels, and annotations of others: 256 KB of an object, as its owner likes, and kubectl's copy of what was
    applied is among them."""
    meta = raw["metadata"]
    kept = {key: value for key, value in (meta.get("annotations") or {}).items() if key in naming.ANNOTATIONS}
    return {**raw, "metadata": {**meta, "labels": {}, "annotations": kept}}


def parse_operation(raw: Mapping[str, Any]) -> WorkspaceOperation:
    """A WorkspaceOperation. Of one that has ended nobody needs the results any more: up to 5,000, of up to 1.5 MB."""
    status = raw.get("status") or {}
    if status.get("completionTime"):
        raw = {**raw, "status": {key: value for key, value in status.items() if key != "results"}}
    return WorkspaceOperation.model_validate(raw)


def sources_of(workspaces: Iterable[Workspace]) -> set[Source]:
    """The distinct Secrets and ConfigMaps that environments are read from."""
    return {
        (workspace.metadata.namespace, variable.source.kind, variable.source.name)
        for workspace in workspaces
        for variable in environment(workspace.spec)
        if variable.source is not None
    }
