"""Plans for files: what would change once they are applied."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import yaml

from controller.api import Workspace
from controller.cli.checking import is_ours, problems_in
from controller.cli.cluster import NotFound, Object
from controller.cli.failure import Failure
from controller.cli.manifests import Document, documents, files
from controller.cli.planning import Planner, Prospect, parse

UNKNOWN_UID = "????????"  # of a Workspace that isn't there yet


def planned_files(planner: Planner, paths: Sequence[str], namespace: str | None = None) -> list[Prospect]:
    """A plan for every Workspace of the files, all of `namespace` where that is asked for.

    Raises:
        Failure: one is of another namespace, or the API server would refuse it.
    """
    found = [document for file in files(paths) for document in documents(file) if _is_workspace(document.object)]
    if not found:
        raise Failure(f"no Workspaces in {', '.join('stdin' if path == '-' else path for path in paths)}")
    for document in found:
        _check(document, None)
        _check_namespace(document, namespace)
    return [_planned(planner, document) for document in found]


def _planned(planner: Planner, document: Document) -> Prospect:
    manifest: Object = document.object
    namespace = manifest["metadata"].get("namespace") or planner.cluster.namespace
    name = manifest["metadata"].get("name")
    if not name:
        raise Failure(f"{document.where('metadata')}: metadata.name: a plan needs the name, not generateName")
    try:
        before = planner.cluster.get("Workspace", name, namespace)
    except NotFound:
        wanted = parse(_fresh(manifest, namespace))
        return replace(planner.plan(wanted, None), changes=difference(None, wanted, document.source))
    _check(document, before)
    running, wanted = parse(before), parse(merged(before, manifest))
    return replace(planner.plan(wanted, running), changes=difference(running, wanted, document.source))


def merged(before: Mapping[str, Any], manifest: Mapping[str, Any]) -> Object:
    """The object once the manifest is applied: its spec replaces the other, but for a desiredState that it leaves out
    (that belongs to whoever started or stopped it last); labels and annotations are added."""
    spec = dict(manifest["spec"] or {})
    if "desiredState" not in spec and "desiredState" in before["spec"]:
        spec["desiredState"] = before["spec"]["desiredState"]
    meta = dict(before["metadata"])
    for field in ("labels", "annotations"):
        meta[field] = {**(meta.get(field) or {}), **(manifest["metadata"].get(field) or {})}
    after = {**before, "metadata": meta, "spec": spec}
    if parse(after).spec != parse(before).spec:
        meta["generation"] = int(meta.get("generation", 0)) + 1
    return after


def difference(running: Workspace | None, wanted: Workspace, source: str) -> str:
    """The specs' unified diff, defaults left out; empty where there is none."""
    lines = difflib.unified_diff(
        _lines(running), _lines(wanted), "nothing" if running is None else "what runs", source, lineterm="", n=2
    )
    return "\n".join(lines)


def _lines(workspace: Workspace | None) -> list[str]:
    if workspace is None:
        return []
    spec = workspace.spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    return yaml.safe_dump({"spec": spec}, sort_keys=False, allow_unicode=True).splitlines()


def _fresh(manifest: Mapping[str, Any], namespace: str) -> Object:
    meta = {**manifest["metadata"], "namespace": namespace, "uid": UNKNOWN_UID, "generation": 1}
    return {**manifest, "metadata": meta, "status": {}}


def _check(document: Document, before: Object | None) -> None:
    manifest = document.object
    if before is not None:
        before = {key: before[key] for key in ("apiVersion", "kind", "metadata", "spec")}
    problems = problems_in(manifest, before)
    if problems:
        more = f" (and {len(problems) - 1} more: `kubectl workspace validate` lists them)" if len(problems) > 1 else ""
        raise Failure(f"{document.where(problems[0].path)}: {problems[0]}{more}")


def _check_namespace(document: Document, asked: str | None) -> None:
    """As kubectl, which never applies a manifest elsewhere than it says."""
    own = document.object["metadata"].get("namespace")
    if asked and own and own != asked:
        where = document.where("metadata.namespace")
        raise Failure(f"{where}: metadata.namespace: is {own!r}, and -n says {asked!r}: leave -n out, or give -n {own}")


def _is_workspace(obj: Any) -> bool:
    return isinstance(obj, dict) and obj.get("kind") == "Workspace" and is_ours(obj)
