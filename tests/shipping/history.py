"""Every version of an object that a watch shows, from its creation to its end."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from devcluster import ControlPlane, binaries


class History:
    """What a watch has written so far."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def versions(self, name: str) -> list[dict[str, Any]]:
        """All versions of one object, in their order; deletions are not among them."""
        text, found = self._file.read_text(), []
        decoder, at = json.JSONDecoder(), 0
        while "{" in text[at:]:
            try:
                event, at = decoder.raw_decode(text, text.index("{", at))
            except json.JSONDecodeError:  # the end is not written yet
                break
            if event["type"] != "DELETED" and event["object"]["metadata"]["name"] == name:
                found.append(event["object"])
        return found


@contextmanager
def recorded(cluster: ControlPlane, file: Path, *what: str) -> Iterator[History]:
    """Watch from now on: ``recorded(cluster, file, "workspaces", "-n", namespace)``."""
    command = [str(binaries.path("kubectl")), "--kubeconfig", str(cluster.kubeconfig), "get", *what]
    with file.open("w") as output:
        watch = subprocess.Popen([*command, "--watch", "--output-watch-events", "-o", "json"], stdout=output)
        try:
            yield History(file)
        finally:
            watch.terminate()
            watch.wait()
