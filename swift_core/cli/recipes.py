"""`swift recipes list | show NAME | run NAME …`: whole jobs by name. Imports little: a list must come at once."""

from __future__ import annotations

from swift_core.contract.errors import SwiftError, did_you_mean

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from swift_core.contract.recipes import Recipe

USAGE = """Usage: swift recipes list [--search WORD] [--json]
       swift recipes show NAME
       swift recipes run NAME [--option value …]

list   Name, job, task and model of every installed recipe; with --search those that hold a word.
show   A recipe as a job file, with the command that it stands for as a comment.
run    Start the job. Options on the command line win over the recipe's."""


def recipes(words: list[str]) -> None:
    """`swift recipes WORDS`. Raises SwiftError for another word than list, show or run, or a name that is unknown."""
    if not words or words[0] in ("--help", "-h") or words[1:] in (["--help"], ["-h"]):
        print(USAGE)
        return
    if words[0] not in ACTIONS:
        raise SwiftError(f"swift recipes has no {words[0]!r}.{did_you_mean(words[0], ACTIONS)} Say list, show or run.")
    ACTIONS[words[0]](words[1:])


def _list(words: list[str]) -> None:
    from swift_core.cli import quick

    rest = [w for w in words if w != "--json"]
    search = rest[1] if len(rest) == 2 and rest[0] == "--search" else ""
    if rest and not search:
        raise SwiftError(f"swift recipes list takes --search WORD and --json, not {' '.join(rest)!r}.")
    quick.print_list("recipe", search, "--json" in words)


def _show(words: list[str]) -> None:
    from swift_core.job.recipes import commented

    if len(words) != 1:
        raise SwiftError("Which recipe? swift recipes show NAME (swift recipes list)")
    print(commented(find(words[0])), end="")


def _run(words: list[str]) -> None:
    """The job, or its help. What only its user can know must be among the words."""
    from swift_core.cli.work import run_job
    from swift_core.job.recipes import given_of

    if not words or words[0].startswith("-"):
        raise SwiftError("Which recipe? swift recipes run NAME [--option value …] (swift recipes list)")
    recipe = find(words[0])
    keys = {word[2:].partition("=")[0].replace("-", "_") for word in words if word.startswith("--")}
    missing = [need for need in recipe.needs if need not in keys]
    if missing and not keys & {"help", "config"}:
        said = " and ".join(f"--{need}" for need in missing)
        raise SwiftError(f"The recipe {recipe.name} needs {said}: {recipe.notes}")
    run_job(recipe.job, *words[1:], given=given_of(recipe))


ACTIONS: dict[str, Callable[[list[str]], None]] = {"list": _list, "show": _show, "run": _run}


def find(name: str) -> Recipe:
    """The recipe of a name; a SwiftError with the nearest names where there is none."""
    from swift_core.catalogue.entries import Catalogue

    recipe: Recipe = Catalogue.installed().find("recipe", name).load()
    return recipe
