"""Checks manifests offline: what `controller.api.validate` says, with the place in the file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.api import GROUP, validate
from controller.cli.manifests import Document, Unreadable, documents, files


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
            where, _, message = str(error).partition(": ")
            report.findings.append(Finding(where, "", "", message))
            continue
        for document in found:
            _check(document, report, named=file in paths)
    return report


def _check(document: Document, report: Report, named: bool) -> None:
    """A folder also holds what is no object at all (dashboards, values of charts); a file that is named must be one."""
    obj = document.object
    is_object = isinstance(obj, dict) and ("apiVersion" in obj or "kind" in obj)
    is_foreign = is_object and obj.get("apiVersion") and obj.get("kind") and not _is_ours(obj)
    if is_foreign or (not is_object and not named):
        report.skipped += 1
        return
    report.checked += 1
    name = _name(obj)
    for problem in validate(obj):
        report.findings.append(Finding(document.where(problem.path), name, problem.path, problem.message))


def _is_ours(obj: dict[str, Any]) -> bool:
    return str(obj["apiVersion"]).split("/")[0] == GROUP


def _name(obj: Any) -> str:
    metadata = obj.get("metadata") if isinstance(obj, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return f"{obj.get('kind')}/{name}" if name else ""
