"""`swift new`: writing a plugin."""

from __future__ import annotations

import typer


def new(
    kind: str = typer.Argument(..., help="A kind, for instance tuner."),
    name: str = typer.Argument(..., help="The component's name."),
    folder: str = typer.Option(".", help="Where the plugin's folder is made."),
) -> None:
    """Write a complete plugin: pyproject, module, contract test and README."""
    from swift_core.cli.scaffold import write_plugin

    place = write_plugin(kind, name, folder)
    print(f"Wrote {place}\n\nNext:\n  pip install -e '{place}[test]'\n  swift check {place}")
