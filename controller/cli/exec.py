"""kubectl workspace exec"""

from __future__ import annotations

from typing import Annotated

import typer

from controller.cli.options import Asked, Context, Endpoint, Kubeconfig, Name, Namespace


def execute(
    name: Name,
    command: Annotated[list[str] | None, typer.Argument(help="Command and arguments, after --. Default: sh.")] = None,
    stdin: Annotated[bool, typer.Option("--stdin", "-i", help="Pass stdin on to the command.")] = False,
    tty: Annotated[bool, typer.Option("--tty", "-t", help="Give the command a terminal.")] = False,
    namespace: Namespace = None,
    endpoint: Endpoint = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Run a command in a Workspace's container, through its host's Docker Engine.

    For those who can reach that engine themselves: the local socket, their own TLS certificates, their own SSH.
    The exit code is the command's.

    \b
    Examples:
      kubectl workspace exec -it shop-api
      kubectl workspace exec -it shop-api -- bash -l
      kubectl workspace exec shop-api -- ls -l /workspace
      tar c src | kubectl workspace exec -i shop-api -- tar x -C /workspace
      kubectl workspace exec -it shop-api --endpoint ssh://alice@docker1
    """
    from controller.cli.access import connect, container_of, told
    from controller.cli.cluster import Cluster
    from controller.cli.failure import Failure
    from controller.cli.terminal import attach, check_terminal

    if not command and not stdin:
        raise typer.BadParameter("which command? Give it after --, or -it for a shell")
    check_terminal(stdin, tty)
    cluster = Cluster(Asked(namespace, context, kubeconfig))
    workspace = cluster.get("Workspace", name, cluster.namespace)
    engine = connect(cluster, workspace["spec"]["host"], endpoint)
    container = container_of(engine, workspace)
    if container.state != "running":
        raise Failure(f"Workspace {name!r} does not run: its container is {container.state}")
    with told():
        code = attach(engine.run(container.id, command or ["sh"], stdin=stdin, tty=tty), stdin=stdin, tty=tty)
    raise typer.Exit(code)
