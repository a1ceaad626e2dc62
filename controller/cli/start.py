"""kubectl workspace start"""

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


def start(
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
    """Start Workspaces: their containers should run.

    One is started by a patch of its desiredState, several by a WorkspaceOperation.

    \b
    Examples:
      kubectl workspace start shop-api
      kubectl workspace start shop-api shop-web --wait --timeout 2m
      kubectl workspace start -l team=payments --wait
      kubectl workspace start --all -n team-a
    """
    from controller.cli.changing import Change, How, change
    from controller.cli.cluster import Cluster

    selection = selected(names, selector, all, all_namespaces)
    how = How(limit(wait, timeout), output)
    what = Change("start", "should be Running", {"spec": {"desiredState": "Running"}}, "Start")
    change(Cluster(Asked(namespace, context, kubeconfig)), what, selection, how)
