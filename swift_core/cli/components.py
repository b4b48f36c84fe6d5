"""`swift list`, `swift show` and `swift doctor`: what is installed, and whether it is sound."""

from __future__ import annotations

import typer

from swift_core.catalogue.entries import Catalogue
from swift_core.cli import quick


def list_components(
    kind: str = typer.Argument("", help="A kind, singular or plural, or benchmarks; left out: all kinds."),
    search: str = typer.Option("", help="Only what holds this text in name, package, summary or checkpoints."),
    as_json: bool = typer.Option(False, "--json", help="A JSON list of objects."),
) -> None:
    """List installed components."""
    quick.print_list(kind, search, as_json)


def show(
    kind: str = typer.Argument(..., help="The component's kind."),
    name: str = typer.Argument(..., help="Its name, or name@package; of a model also a checkpoint's id."),
    as_json: bool = typer.Option(False, "--json", help="A JSON object."),
) -> None:
    """Show one component: facts, capabilities, options, package and file."""
    quick.print_show(kind, name, as_json)


def doctor(
    report: bool = typer.Option(False, "--report", help="Versions, devices and faults as Markdown, for a bug report."),
) -> None:
    """Check everything installed: imports, API versions, double names, requirements."""
    catalogue = Catalogue.installed()
    lines = catalogue.faults()
    if report:
        from swift_core.cli.report import report as written

        print(written(catalogue.entries, lines))
        return
    for line in lines:
        print(f"- {line}")
    print(f"{len(catalogue.entries)} components, {len(lines)} faults")
    if lines:
        raise typer.Exit(1)
