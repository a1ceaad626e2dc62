"""kubectl workspace stop"""

from __future__ import annotations

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


def stop(
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
    """Stop Workspaces: their containers end, and are kept.

    One is stopped by a patch of its desiredState, several by a WorkspaceOperation.

    \b
    Examples:
      kubectl workspace stop shop-api
      kubectl workspace stop -l team=payments --wait
      kubectl workspace stop --all -A --wait --timeout 30m
    """
    from controller.cli.changing import Change, How, change
    from controller.cli.cluster import Cluster

    selection = selected(names, selector, all, all_namespaces)
    how = How(limit(wait, timeout), output)
    what = Change("stop", "should be Stopped", {"spec": {"desiredState": "Stopped"}}, "Stop")
    change(Cluster(Asked(namespace, context, kubeconfig)), what, selection, how)
