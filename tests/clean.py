"""A control plane without anything of ours, for suites that share one."""

import contextlib
import json
import subprocess

from devcluster import ControlPlane

RELEASE = ("--type=merge", "-p", '{"metadata":{"finalizers":null}}')


def wipe(cluster: ControlPlane) -> None:
    """Removes every object of our kinds. No controller may run: what it holds is let go of by hand."""
    for kind in ("workspaceoperations", "workspaces", "dockerhosts"):
        for item in json.loads(cluster.kubectl("get", kind, "--all-namespaces", "-o", "json"))["items"]:
            meta = item["metadata"]
            scope = ("-n", meta["namespace"]) if "namespace" in meta else ()
            cluster.kubectl(*scope, "delete", kind, meta["name"], "--wait=false", "--ignore-not-found")
            with contextlib.suppress(subprocess.CalledProcessError):  # gone already
                cluster.kubectl(*scope, "patch", kind, meta["name"], *RELEASE)
