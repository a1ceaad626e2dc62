"""kubectl workspace top"""

from __future__ import annotations

import typer

from controller.cli.options import (
    AllNamespaces,
    Asked,
    Context,
    Endpoint,
    Kubeconfig,
    Names,
    Namespace,
    Plain,
    PlainOutput,
    Selection,
    Selector,
)


def top(
    names: Names = None,
    selector: Selector = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    output: PlainOutput = Plain.TABLE,
    endpoint: Endpoint = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what Workspaces use now, measured on their hosts over a second.

    For those who can reach the hosts' Docker Engines themselves; the others see what the status last told, if it does.

    \b
    Examples:
      kubectl workspace top
      kubectl workspace top -A -o json
      kubectl workspace top shop-api --endpoint ssh://alice@docker1
    """
    from controller.cli.cluster import Cluster
    from controller.cli.failure import complain
    from controller.cli.measuring import COLUMNS, measure
    from controller.cli.output import print_data, print_table
    from controller.cli.workspaces import listed

    if names and (selector or all_namespaces):
        raise typer.BadParameter("give names, or -l and -A, not both")
    cluster = Cluster(Asked(namespace, context, kubeconfig))
    found = listed(cluster, Selection(tuple(names or ()), selector, all_namespaces=all_namespaces))
    usages, problems = measure(cluster, found, endpoint)
    if output is not Plain.TABLE:
        print_data([usage.to_dict() for usage in usages], output)
    elif usages:
        print_table((("NAMESPACE",) if all_namespaces else ()) + COLUMNS, [u.row(all_namespaces) for u in usages])
    elif not found:
        typer.echo("No Workspaces found.", err=True)
    for problem in problems:
        complain(str(problem))
    if problems:
        raise typer.Exit(1)
