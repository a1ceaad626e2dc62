"""kubectl workspace describe"""

from __future__ import annotations

import typer

from controller.cli.options import Asked, Context, Kubeconfig, Names, Namespace, Plain, PlainOutput, Selection, Selector


def describe(
    names: Names = None,
    selector: Selector = None,
    namespace: Namespace = None,
    output: PlainOutput = Plain.TABLE,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Explain a Workspace: what it should be, what it is, why, and what comes next.

    \b
    Examples:
      kubectl workspace describe shop-api
      kubectl workspace describe -l team=payments
      kubectl workspace describe shop-api -o json
    """
    from controller.cli.cluster import Cluster
    from controller.cli.description import HIDDEN_EVENTS, events_of
    from controller.cli.description import describe as lines
    from controller.cli.output import as_list, console, print_data
    from controller.cli.workspaces import listed

    if bool(names) == bool(selector):
        raise typer.BadParameter("which ones? Give names or -l SELECTOR")
    cluster = Cluster(Asked(namespace, context, kubeconfig))
    found = listed(cluster, Selection(tuple(names or ()), selector))
    known = [(workspace, events_of(cluster, workspace)) for workspace in found]
    if output is not Plain.TABLE:
        if any(events is None for _, events in known):
            typer.echo(f"events: {HIDDEN_EVENTS}", err=True)
        items = [{"workspace": workspace, "events": events} for workspace, events in known]
        print_data(items[0] if len(items) == 1 else as_list(items), output)
        return
    out = console()
    for number, (workspace, events) in enumerate(known):
        if number:
            out.print()
        for line in lines(workspace, events):
            out.print(line)
    if not known:
        typer.echo("No Workspaces found.", err=True)
