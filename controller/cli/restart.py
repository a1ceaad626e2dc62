"""kubectl workspace restart"""

from __future__ import annotations

from datetime import UTC, datetime

from controller.cli.options import (
    All,
    AllNamespaces,
    Asked,
    Context,
    Kubeconfig,
    Names,
    Namespace,
    Plain,
    PlainOutput,
    Selector,
    Timeout,
    Wait,
    limit,
    selected,
)


def restart(
    names: Names = None,
    selector: Selector = None,
    all: All = False,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    wait: Wait = False,
    timeout: Timeout = None,
    output: PlainOutput = Plain.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Restart Workspaces, once.

    Changes that wait for a restart are applied, and retries are counted anew. One is restarted by an annotation,
    several by a WorkspaceOperation.

    \b
    Examples:
      kubectl workspace restart shop-api
      kubectl workspace restart shop-api shop-web --wait
      kubectl workspace restart --all --wait --timeout 10m
    """
    from controller.cli.changing import Change, How, change
    from controller.cli.cluster import Cluster

    selection = selected(names, selector, all, all_namespaces)
    how = How(limit(wait, timeout), output)
    request = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # each restart is one new value
    annotation = {"metadata": {"annotations": {"aicli.dev/restartedAt": request}}}
    what = Change("restart", "will restart", annotation, "Restart")
    change(Cluster(Asked(namespace, context, kubeconfig)), what, selection, how)
