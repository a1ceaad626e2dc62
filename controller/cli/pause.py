"""kubectl workspace pause"""

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


def pause(
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
    """Pause Workspaces: frozen, their memory kept.

    `start` lets them go on. Each one is paused by a patch of its desiredState.

    \b
    Examples:
      kubectl workspace pause shop-api --wait
      kubectl workspace pause -l team=payments
    """
    from controller.cli.changing import Change, How, change
    from controller.cli.cluster import Cluster

    selection = selected(names, selector, all, all_namespaces)
    how = How(limit(wait, timeout), output)
    what = Change("pause", "should be Paused", {"spec": {"desiredState": "Paused"}})
    change(Cluster(Asked(namespace, context, kubeconfig)), what, selection, how)
