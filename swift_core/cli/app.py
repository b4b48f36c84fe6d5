"""Puts the commands together: the kernel's own, one per job, and those of installed command plugins."""

from __future__ import annotations

from typing import Any

import typer

from swift_core.catalogue import Catalogue
from swift_core.cli import components, envs, project, work
from swift_core.errors import SwiftError
from swift_core.jobs import JOBS
from swift_core.version import __version__

RAW = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []}
"""Job commands take their words as they are: options depend on the components that the words choose."""


def application() -> Any:
    """The click command behind `swift`."""
    app = typer.Typer(
        help="Fine-tune, align, evaluate, quantize and serve language and multimodal models.",
        invoke_without_command=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    app.callback()(_root)
    for name, function in components.COMMANDS.items():
        app.command(name, rich_help_panel="Components")(function)
    for spec in JOBS.values():
        app.command(spec.name, help=spec.summary, context_settings=RAW)(work.job_command(spec.name))
    app.command("explain", context_settings=RAW)(work.explain)
    app.command("new")(project.new)
    app.command("check")(project.check)
    app.add_typer(envs.app, name="env")
    _add_plugin_commands(app)
    return typer.main.get_command(app)


def _root(
    context: typer.Context,
    version: bool = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True),
) -> None:
    if version:
        print(f"swift-core {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def _add_plugin_commands(app: typer.Typer) -> None:
    for entry in Catalogue.installed().of_kind("command"):
        try:
            app.add_typer(entry.load(), name=entry.name, help=entry.summary)
        except SwiftError:
            continue  # `swift doctor` names it; the other commands must go on working
