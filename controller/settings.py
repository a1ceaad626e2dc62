"""Every setting of the controller: type, unit, default and why it exists. From the command line and the environment."""

from __future__ import annotations

import argparse
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from controller import __version__

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
DEFAULT_NAMESPACE = "workspace-system"
SHORTEST_INTERVAL = 1.0  # seconds between two samples: each is one call of the engine for each container
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Settings:
    """How one process runs. The API server is the one that KUBECONFIG or the service account names."""

    leader_elect: bool = False
    """Elect one of several replicas by a Lease. Without it a file lock keeps a second one on this machine waiting."""
    namespace: str = DEFAULT_NAMESPACE
    """The controller's own namespace: its Lease, and the Secrets that DockerHosts name."""
    listen: str = "127.0.0.1:8081"
    """ADDRESS:PORT of /healthz, /readyz and /metrics. Loopback by default: metrics aren't for tenants."""
    log_format: str = "text"
    """`text` for people, `json` for collectors."""
    log_level: str = "info"
    """`debug` shows each plan."""
    dry_run: bool = False
    """Log what would be done to each Workspace, and do nothing: no write to Docker nor to the API server."""
    usage_interval: float = 0.0
    """Seconds between two samples of each container's CPU and memory; 0: none. A sample costs the engine one call."""

    @property
    def address(self) -> tuple[str, int]:
        """`listen`, taken apart. Raises ValueError: a port alone is no wish to listen on every address."""
        host, _, port = self.listen.rpartition(":")
        host = host.strip("[]")
        if not host or not re.fullmatch("[0-9]{1,5}", port) or int(port) > 65535:
            raise ValueError(f"{self.listen!r} is not ADDRESS:PORT")
        return host, int(port)


def parse(arguments: Sequence[str] | None = None) -> Settings:
    """The settings of the command line; ends the process with a message where they make no sense."""
    defaults = Settings()
    parser = argparse.ArgumentParser(
        prog="workspace-controller",
        description="Makes Docker hosts match the Workspaces of the API server that KUBECONFIG names.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    parser.add_argument("--leader-elect", action="store_true", help="elect one of several replicas by a Lease")
    parser.add_argument(
        "--namespace", type=_namespace, default=own_namespace(), help="the controller's own namespace (%(default)s)"
    )
    parser.add_argument(
        "--listen",
        default=defaults.listen,
        metavar="ADDRESS:PORT",
        help="of /healthz, /readyz and /metrics (%(default)s)",
    )
    parser.add_argument("--log-format", choices=("text", "json"), default=defaults.log_format)
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default=defaults.log_level)
    parser.add_argument("--dry-run", action="store_true", help="log what would be done, and do nothing")
    parser.add_argument(
        "--usage-interval",
        type=_interval,
        default=defaults.usage_interval,
        metavar="SECONDS",
        help="between two samples of each container's CPU and memory (%(default)s: none)",
    )
    settings = Settings(**vars(parser.parse_args(arguments)))
    try:
        _ = settings.address
    except ValueError:
        parser.error(
            f"--listen: {settings.listen!r} is not ADDRESS:PORT, such as 127.0.0.1:8081: every address is 0.0.0.0, and "
            "ports end at 65535"
        )
    return settings


def _namespace(text: str) -> str:
    if not _LABEL.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} can't be a namespace: lower case letters, digits and '-', at most 63 characters, such as "
            f"{DEFAULT_NAMESPACE} (without the option it is that of POD_NAMESPACE or the service account)"
        )
    return text


def _interval(text: str) -> float:
    """Less than a second, or no number, would mean samples without a pause."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if seconds != 0 and not SHORTEST_INTERVAL <= seconds < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is no interval: give seconds from 1 up, or 0 for no samples")
    return seconds


def own_namespace() -> str:
    """Where we run: POD_NAMESPACE, the service account's namespace, or the default."""
    named = os.environ.get("POD_NAMESPACE")
    if named:
        return named
    try:
        return SERVICE_ACCOUNT_NAMESPACE.read_text().strip() or DEFAULT_NAMESPACE
    except OSError:
        return DEFAULT_NAMESPACE
