"""Puts together the commands that Typer reads: the kernel's own, and the one plugin command that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import typer

from swift_core.catalogue.entries import Catalogue, ships_in
from swift_core.cli import components, envs, printing, project
from swift_core.cli.listing import COMMANDS, help_of
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.job.specs import JOBS

FUNCTIONS: dict[str, Callable[..., None]] = {
    "list": components.list_components,
    "show": components.show,
    "doctor": components.doctor,
    "new": project.new,
}


def application(command: str) -> Any:
    """The click command behind `swift COMMAND`; other plugins' commands are not imported for it."""
    app = typer.Typer(help=printing.ABOUT, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    for name, function in FUNCTIONS.items():
        app.command(name, help=COMMANDS[name])(function)
    app.add_typer(envs.app, name="env", help=COMMANDS["env"])
    if command not in COMMANDS and not command.startswith("-"):
        _add_plugin(app, command)
    return typer.main.get_command(app)


def _add_plugin(app: typer.Typer, name: str) -> None:
    catalogue = Catalogue.installed()
    known = [*COMMANDS, *JOBS, *(e.name for e in catalogue.of_kind("command"))]
    dist = ships_in("command", name)
    if name not in known and dist:
        raise SwiftError(f"The command {name!r} is not installed. It ships in {dist}: pip install {dist}")
    if name not in known:
        raise SwiftError(f"There is no command {name!r}.{did_you_mean(name, known)} Commands: {', '.join(known)}.")
    entry = catalogue.find("command", name)
    app.add_typer(entry.load(), name=name, help=help_of(entry))
