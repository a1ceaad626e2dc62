"""kubectl workspace watch"""

from __future__ import annotations

from controller.cli.options import AllNamespaces, Asked, Context, Kubeconfig, Namespace, Selector


def watch(
    selector: Selector = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show Workspaces as they change, until Ctrl-C. Without a terminal, a line for each change.

    \b
    Examples:
      kubectl workspace watch
      kubectl workspace watch -A
      kubectl workspace watch -l team=payments | grep Failed
    """
    from controller.cli.cluster import Cluster
    from controller.cli.live import follow

    cluster = Cluster(Asked(namespace, context, kubeconfig))
    follow(cluster, None if all_namespaces else cluster.namespace, selector)
