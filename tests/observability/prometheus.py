"""A real Prometheus that reads one target each second, and answers queries."""

from __future__ import annotations

import json
import math
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml

from devcluster import Process, packages
from devcluster.ports import free_port


class Prometheus:
    """One Prometheus of its own; `stop` it at the end."""

    def __init__(self, directory: Path, target: str) -> None:
        packages.install(packages.OBSERVABILITY)
        self._url = f"http://127.0.0.1:{free_port()}"
        config = directory / "prometheus.yml"
        job = {"job_name": "workspace-controller", "static_configs": [{"targets": [target]}]}
        config.write_text(yaml.safe_dump({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        options = [f"--config.file={config}", f"--storage.tsdb.path={directory}/tsdb", "--log.level=warn"]
        options.append(f"--web.listen-address={self._url.removeprefix('http://')}")
        self._process = Process("prometheus", ["prometheus", *options], directory, ready=self._is_ready)

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        self._process.start()

    def stop(self) -> None:
        """Ends it."""
        self._process.stop()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query that have a number now."""
        answer = self._get("/api/v1/query?" + urllib.parse.urlencode({"query": expression}))
        series: list[dict[str, Any]] = answer["data"]["result"]
        return [one for one in series if not math.isnan(float(one["value"][1]))]

    def _get(self, path: str) -> Any:
        try:
            with urllib.request.urlopen(self._url + path, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(self._url + "/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False
