"""kubectl workspace plan"""

from __future__ import annotations

from typing import Annotated

import typer

from controller.cli.options import (
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


def plan(
    names: Names = None,
    file: Annotated[
        list[str] | None,
        typer.Option("--filename", "-f", help="Plan for the Workspaces of a file, folder or - instead; repeatable."),
    ] = None,
    selector: Selector = None,
    namespace: Namespace = None,
    output: PlainOutput = Plain.TABLE,
    endpoint: Endpoint = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Show what the controller would do now, and why. With -f, what it would do once the file is applied.

    Changes nothing. What the host has is asked of its Docker Engine where you can reach that, else taken from the
    Workspace's status, and the answer says which. With -f the difference to what runs comes first; a desiredState
    that the file leaves out stays as it is.

    \b
    Examples:
      kubectl workspace plan shop-api
      kubectl workspace plan -l team=payments
      kubectl workspace plan -f shop-api.yaml
      kubectl workspace plan -f clusters/team-a -o json
    """
    from controller.cli.cluster import Cluster
    from controller.cli.output import console, print_data
    from controller.cli.planning import Planner
    from controller.cli.prospects import planned_files
    from controller.cli.workspaces import listed

    if [bool(names), bool(file), bool(selector)].count(True) != 1:
        raise typer.BadParameter("for which ones? Give names, -l SELECTOR or -f FILE")
    cluster = Cluster(Asked(namespace, context, kubeconfig))
    planner = Planner(cluster, endpoint)
    if file:
        prospects = planned_files(planner, file, namespace)
    else:
        prospects = [planner.live(w) for w in listed(cluster, Selection(tuple(names or ()), selector))]
    if output is not Plain.TABLE:
        print_data([p.to_dict() for p in prospects], output)
        return
    out = console()
    for number, prospect in enumerate(prospects):
        out.print(("\n" if number else "") + str(prospect))
    if not prospects:
        typer.echo("No Workspaces found.", err=True)
