"""Checks manifests offline: what `controller.api.validate` says, with the place in the file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.api import GROUP, Problem, validate
from controller.api.crd import KINDS
from controller.cli.manifests import Document, Unreadable, documents, files
from controller.cli.unknown import unknown_fields

_NAMES = {kind.model.__name__ for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong."""

    where: str  # file:line
    name: str  # Kind/name, empty where there is none
    path: str
    message: str

    def __str__(self) -> str:
        return ": ".join(word for word in (self.where, self.name, self.path, self.message) if word)

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        source, _, line = self.where.rpartition(":")
        return {"file": source, "line": int(line), "object": self.name, "field": self.path, "message": self.message}


@dataclass(slots=True)
class Report:
    """What was found in all files together."""

    checked: int = 0
    skipped: int = 0
    findings: list[Finding] = field(default_factory=list)

    def summary(self) -> str:
        """One line for people."""
        passed_over = f", {self.skipped} others passed over" if self.skipped else ""
        count = len(self.findings)
        verdict = f"{count} error{'s' if count != 1 else ''}" if count else "all valid"
        if not self.checked and not count:
            verdict = "nothing of ours is there"
        return f"{self.checked} object{'s' if self.checked != 1 else ''} checked{passed_over}: {verdict}"


def check(paths: Sequence[str]) -> Report:
    """Checks every object of ours in the files. Raises Failure for a file that isn't there."""
    report = Report()
    for file in files(paths):
        try:
            found = documents(file)
        except Unreadable as error:
            report.findings.append(Finding(error.where, "", "", error.problem))
            continue
        for document in found:
            _check(document, report, named=file in paths)
    return report


def problems_in(manifest: Any, before: Mapping[str, Any] | None = None) -> list[Problem]:
    """What the API server would refuse, each thing once; with `before`, in place of that object."""
    return list(dict.fromkeys([*validate(manifest, before), *unknown_fields(manifest)]))


def is_ours(obj: Mapping[str, Any]) -> bool:
    """Whether it is meant to be of our API: one of our kinds without a group is, for Kubernetes has no such kinds."""
    group, slash, _ = str(obj.get("apiVersion")).partition("/")
    return group == GROUP or (not slash and str(obj.get("kind")) in _NAMES)


def _check(document: Document, report: Report, named: bool) -> None:
    """A folder also holds what is no object at all (dashboards, values of charts); a file that is named must be one."""
    obj = document.object
    is_object = isinstance(obj, dict) and ("apiVersion" in obj or "kind" in obj)
    is_foreign = is_object and obj.get("apiVersion") and obj.get("kind") and not is_ours(obj)
    if is_foreign or (not is_object and not named):
        report.skipped += 1
        return
    report.checked += 1
    name = _name(obj)
    for problem in problems_in(obj):
        report.findings.append(Finding(document.where(problem.path), name, problem.path, problem.message))


def _name(obj: Any) -> str:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return "/".join(str(word) for word in (obj.get("kind"), name) if word) if name else ""
