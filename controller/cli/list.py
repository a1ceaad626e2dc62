"""kubectl workspace list"""

from __future__ import annotations

import typer

from controller.cli.options import (
    AllNamespaces,
    Asked,
    Context,
    Format,
    Kubeconfig,
    Names,
    Namespace,
    Output,
    Selection,
    Selector,
)


def list_workspaces(
    names: Names = None,
    selector: Selector = None,
    namespace: Namespace = None,
    all_namespaces: AllNamespaces = False,
    output: Output = Format.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """List Workspaces and how they are.

    \b
    Examples:
      kubectl workspace list
      kubectl workspace list -A -o wide
      kubectl workspace list -l team=payments
      kubectl workspace list shop-api -o yaml
    """
    from controller.cli.cluster import Cluster
    from controller.cli.output import as_list, print_data, print_table
    from controller.cli.workspaces import columns, listed, row

    if names and (selector or all_namespaces):
        raise typer.BadParameter("give names, or -l and -A, not both")
    cluster = Cluster(Asked(namespace, context, kubeconfig))
    found = listed(cluster, Selection(tuple(names or ()), selector, all_namespaces=all_namespaces))
    if output in (Format.JSON, Format.YAML):
        print_data(found[0] if names and len(found) == 1 else as_list(found), output)
    elif found:
        wide = output is Format.WIDE
        print_table(columns(wide, all_namespaces), [row(w, wide, all_namespaces) for w in found])
    else:
        place = "" if all_namespaces else f" in namespace {cluster.namespace!r}"
        typer.echo(f"No Workspaces found{place}.", err=True)
