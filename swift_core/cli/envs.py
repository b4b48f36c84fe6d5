"""`swift env`: the isolated environments of plugins whose libraries cannot live beside the trainer's."""

from __future__ import annotations

import typer

from swift_core.catalogue import venvs

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_environments() -> None:
    """List the environments that installed components declare, and whether they are made."""
    for found in venvs.declared():
        state = str(found.folder) if found.ready else "not created"
        print(f"{found.name}: {', '.join(found.requirements)}  [{state}]")


@app.command()
def create(name: str) -> None:
    """Make the environment of a component, for instance `swift env create vllm`."""
    print(venvs.find(name).create())


@app.command()
def remove(name: str) -> None:
    """Delete the environment of a component."""
    venvs.find(name).remove()
    print(f"removed {name}")
