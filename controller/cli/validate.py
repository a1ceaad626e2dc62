"""kubectl workspace validate"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from controller.cli.options import Plain, PlainOutput


def validate(
    file: Annotated[
        list[str], typer.Option("--filename", "-f", help="File, folder (with all below it) or - for stdin; repeatable.")
    ],
    output: PlainOutput = Plain.TABLE,
) -> None:
    """Check manifests offline, with the API server's rules.

    Says file:line, the field and what is wrong, for each error. Objects of other APIs are passed over. The exit code is
    1 when anything is wrong, so it can stand in a GitOps pipeline.

    \b
    Examples:
      kubectl workspace validate -f ws.yaml
      kubectl workspace validate -f clusters/ -f hosts.yaml
      kustomize build . | kubectl workspace validate -f -
      kubectl workspace validate -f clusters/ -o json
    """
    from controller.cli.checking import check
    from controller.cli.output import clean, print_data

    report = check(file)
    if output is not Plain.TABLE:
        found: list[dict[str, Any]] = [f.to_dict() for f in report.findings]
        print_data({"checked": report.checked, "skipped": report.skipped, "errors": found}, output)
    else:
        for finding in report.findings:
            typer.echo(clean(str(finding)))
        typer.echo(report.summary(), err=bool(report.findings))
    if report.findings:
        raise typer.Exit(1)
