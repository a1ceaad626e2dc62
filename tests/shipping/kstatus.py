"""What kstatus (and so Flux, cli-utils) makes of an object of a kind that it does not know: its rules, in order."""

from __future__ import annotations

from typing import Any


def kstatus(found: dict[str, Any]) -> str:
    """Terminating, InProgress, Failed or Current."""
    metadata, status = found["metadata"], found.get("status", {})
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata["generation"]:
        return "InProgress"
    for condition in status.get("conditions", ()):
        if (condition["type"], condition["status"]) == ("Reconciling", "True"):
            return "InProgress"
        if (condition["type"], condition["status"]) == ("Stalled", "True"):
            return "Failed"
    for condition in status.get("conditions", ()):
        if condition["type"] == "Ready":
            return "Current" if condition["status"] == "True" else "InProgress"
    return "Current"  # says nothing of itself
