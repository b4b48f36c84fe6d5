"""`swift env`: the isolated environments of plugins whose libraries cannot live beside the trainer's."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from swift_core.catalogue import venv_lock, venv_making, venv_remains, venvs

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_environments() -> None:
    """List the environments that installed components declare, whether they are made, and what lies beside them."""
    declared = venvs.declared()
    for found in declared:
        print(f"{found.name}: {', '.join(found.requirements)}  [{_state(found)}]")
    for other in venv_remains.found_in(venvs.home()):
        if other.broken:
            print(f"remains: {other}  [swift env clean removes it]")
        elif other.folder not in [d.folder for d in declared]:
            print(f"declared by nothing installed here: {other}  [swift env remove {other.folder.name}]")


def _state(found: venvs.Environment) -> str:
    """Where it is, or who makes or removes it, or that it is not created."""
    if found.ready:
        return str(found.folder)
    worker = venv_lock.held_alone(found.folder)
    return f"not there yet, {worker}" if worker else "not created"


@app.command()
def create(name: str, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False) -> None:
    """Make the environment of a component, for instance `swift env create vllm`."""
    if yes:
        os.environ[venv_making.CONSENT] = "1"
    print(venvs.find(name).create())


@app.command()
def remove(name: str) -> None:
    """Delete the environment of a component, or one of the folders that `swift env list` names."""
    removed = venvs.find_made(name).remove()
    print(f"removed {name}" if removed else f"nothing to remove: {name} is not created")


@app.command()
def clean() -> None:
    """Delete what interrupted makings and removals left."""
    print("\n".join(venv_remains.clean(venvs.home())) or "nothing to clean")
