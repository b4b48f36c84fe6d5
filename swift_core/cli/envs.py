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
    for environment in declared:
        print(f"{environment.name}: {', '.join(environment.requirements)}  [{_state(environment)}]")
    for other in venv_remains.found_in(venvs.home()):
        if other.broken:
            print(f"remains: {other}  [swift env clean removes it]")
        elif other.folder not in [d.folder for d in declared]:
            print(f"declared by nothing installed here: {other}  [swift env remove {other.folder.name}]")


def _state(environment: venvs.Environment) -> str:
    """Where it is, or who makes or removes it, or that it is not created."""
    if environment.ready:
        return str(environment.folder)
    worker = venv_lock.held_alone(environment.folder)
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
