"""`swift check`: prove a plugin."""

from __future__ import annotations

import typer

app = typer.Typer(invoke_without_command=True)


@app.callback()
def check(package: str = typer.Argument(..., help="An installed plugin's package name, or its folder.")) -> None:
    """Run a plugin's contract tests."""
    from swift_testing.check import check_package

    raise typer.Exit(check_package(package))
