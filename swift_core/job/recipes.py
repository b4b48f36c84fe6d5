"""Recipes as files: two YAML documents, what is said about the job, then the job file itself."""

from __future__ import annotations

import json
import re
import shlex
from typing import Any

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.recipes import Recipe
from swift_core.job.options import Given, given_in, read_map

SAID = ("summary", "job", "task", "hardware", "notes", "needs")
"""Keys of the first document."""


def read_recipe(text: str, name: str, file: str = "") -> Recipe:
    """A recipe from its text; a SwiftError names the recipe and the wrong key.

    The first document holds summary, job, task, hardware, notes and needs, the second one the job's options, as any
    job file does. The second is kept as it is written, since its comments say why values are as they are.
    """
    head, body = _documents(text, name)
    facts = read_map(head, f"recipe {name!r}: its first document")
    for key, value in facts.items():
        if key not in SAID:
            raise SwiftError(f"recipe {name!r}: unknown key {key!r}.{did_you_mean(str(key), SAID)}")
        if not isinstance(value, list if key == "needs" else str):
            raise SwiftError(f"recipe {name!r}: {key} must not be {value!r}.")
    if not facts.get("job"):
        raise SwiftError(f"recipe {name!r}: say which job it is, for instance `job: sft`.")
    options = read_map(body, f"recipe {name!r}: its job")
    facts["needs"] = tuple(facts.get("needs", ()))
    facts = {key: value.strip() if isinstance(value, str) else value for key, value in facts.items()}
    return Recipe(name=name, options=options, text=body, file=file, **facts)


def _documents(text: str, name: str) -> tuple[str, str]:
    parts = re.split(r"(?m)^---[ \t]*\n", text.replace("\r\n", "\n").removeprefix("---\n"))
    if len(parts) != 2:
        raise SwiftError(
            f"recipe {name!r}: a recipe is two YAML documents with a line `---` between them: what is said about the "
            f"job, then its options. This file holds {len(parts)}."
        )
    return parts[0], parts[1]


def given_of(recipe: Recipe) -> list[Given]:
    """Its options as a job reads them, with the recipe as their source."""
    return given_in(recipe.options, f"recipe {recipe.name}")


def words_of(recipe: Recipe) -> list[list[str]]:
    """The command that it stands for: `swift JOB`, then each option with its values."""
    return [["swift", recipe.job], *([f"--{key}", *_values(value)] for key, value in recipe.options.items())]


def _values(value: Any) -> list[str]:
    if isinstance(value, list) and value and not any(isinstance(v, list | dict) for v in value):
        return [_text(v) for v in value]
    return [_text(value)]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value, ensure_ascii=False)


def commented(recipe: Recipe) -> str:
    """The recipe as a job file, with what is said about it and its command as comments above."""
    needs = " ".join(f"--{need} …" for need in recipe.needs)
    said = {recipe.name: recipe.summary, "hardware": recipe.hardware, "notes": recipe.notes, "you say": needs}
    lines = [f"{key}: {value}" for key, value in said.items() if value]
    command = " \\\n    ".join(shlex.join(words) for words in words_of(recipe))
    text = "\n".join([*lines, "", f"swift recipes run {recipe.name}", "is the same as", command])
    return "".join(f"# {line}".rstrip() + "\n" for line in text.splitlines()) + recipe.text
