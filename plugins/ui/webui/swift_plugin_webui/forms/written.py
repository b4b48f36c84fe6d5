"""A job as it is written: a command line, a job file, a shell script; and read back from each.

Values keep their types. A value is one word of the command however many spaces, quotes, brackets or line breaks it
holds; only the shell's own quoting (`shlex`) stands between the words and what one copies.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from typing import Any

import yaml

from swift_core import SwiftError
from swift_core.job.options import split_arguments
from swift_core.job.specs import JOBS, find_job

GPUS = "CUDA_VISIBLE_DEVICES"
"""The variable that names the GPUs of a process."""

COMMAND = re.compile(rf"\s*(?:{GPUS}=(\S*)\s+)?swift(?:\s|$)")
"""How a command begins: perhaps with its GPUs."""

KEY_OF_JOB = "# swift "
"""How the first line of a job file begins, which says for which job it is."""


@dataclass
class WrittenJob:
    """A job and what is said to it.

    values: option → value, typed. secrets: options that are written nowhere. devices: GPUs by number; none: all.
    """

    job: str
    values: dict[str, Any] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    devices: list[str] = field(default_factory=list)

    @property
    def program(self) -> str:
        """What a command begins with."""
        return f"{GPUS}={','.join(self.devices)} swift" if self.devices else "swift"

    def words(self) -> list[str]:
        """The words behind `swift`, without secrets."""
        return [self.job, *(word for key, value in self.values.items() for word in words_of(key, value))]

    def command(self) -> str:
        """One line for a POSIX shell."""
        return f"{self.program} {shlex.join(self.words())}"

    def shown(self) -> str:
        """The command with an option a line, as it is shown before it runs; secrets are named, not told."""
        groups = [shlex.join(words_of(key, value)) for key, value in self.values.items()]
        lines = " \\\n  ".join([f"{self.program} {self.job}", *groups])
        return lines + "".join(f"\n# --{name}: typed in the page, told to the job alone" for name in self.secrets)

    def as_shell(self) -> str:
        """A shell script that does the same."""
        return f"#!/bin/sh\n{self.shown()}\n"

    def as_yaml(self) -> str:
        """A job file for `swift JOB --config FILE`."""
        body = yaml.safe_dump(plain(self.values), allow_unicode=True, sort_keys=False, width=120) if self.values else ""
        hidden = "".join(f"# {name}: a secret is not kept\n" for name in self.secrets)
        return f"{KEY_OF_JOB}{self.job}\n{hidden}{body}"


def words_of(key: str, value: Any) -> list[str]:
    """One option as words of a command line that `swift` reads back as this very value."""
    if isinstance(value, list) and _can_stand(value):
        return [f"--{key}", *(str(item) for item in value)]
    text = _text(value)
    return [f"--{key}={text}"] if text.startswith("--") and len(text) > 2 else [f"--{key}", text]


def _can_stand(items: list[Any]) -> bool:
    """Whether the items of a list may stand one behind the other; others are written as JSON."""
    strange = any(
        (isinstance(i, str) and i.startswith(("--", "["))) or isinstance(i, bool | dict | list) for i in items
    )
    return bool(items) and not strange


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def plain(value: Any) -> Any:
    """Lists, dicts, texts and numbers alone, as YAML and JSON take them."""
    return json.loads(json.dumps(value, ensure_ascii=False, default=str))


def read_yaml(text: str, job: str) -> WrittenJob:
    """What a job file says. job: for which, where the file does not say.

    Raises SwiftError where it is no map.
    """
    first = text.partition("\n")[0].strip()
    named = first.removeprefix(KEY_OF_JOB) if first.startswith(KEY_OF_JOB) else ""
    try:
        values = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SwiftError(f"The job file is not valid YAML: {str(error)[:300]}") from None
    if values is not None and not isinstance(values, dict):
        raise SwiftError("The job file must be a map of option names to values.")
    said = {str(key).replace("-", "_"): value for key, value in (values or {}).items()}
    return WrittenJob(named if named in JOBS else job, said)


def read_command(text: str) -> WrittenJob:
    """What a command line or a shell script says, which begins with `swift JOB`; comments are left out.

    Raises SwiftError where it is none.
    """
    try:
        words = shlex.split(_without_comments(text))
    except ValueError as error:
        raise SwiftError(f"The command cannot be taken apart: {error}.") from None
    devices = _devices(words.pop(0)) if words and words[0].startswith(f"{GPUS}=") else []
    if len(words) < 2 or words[0] != "swift":
        raise SwiftError("A command begins with `swift JOB`, for instance swift sft --model ID.")
    spec = find_job(words[1])
    given, mistakes = split_arguments(words[2:])
    if mistakes:
        raise SwiftError(" ".join(mistakes))
    return WrittenJob(spec.name, {g.key: g.value for g in given}, devices=devices)


def _devices(word: str) -> list[str]:
    """The numbers in `CUDA_VISIBLE_DEVICES=0,1`."""
    return [number for number in word.partition("=")[2].split(",") if number]


PIECE = re.compile(r"""'[^']*'|"(?:\\.|[^"\\])*"|(?P<broken>\\\n)|\\.|(?P<comment>(?<!\S)#[^\n]*)|.""", re.DOTALL)
"""What a shell takes as one: a quoted text, a broken line, an escaped character, a comment, any other character."""


def _without_comments(text: str) -> str:
    """A script as one command: broken lines joined, comments out. Inside quotes nothing changes."""
    gaps = {"comment": "", "broken": " "}
    return "".join(gaps.get(piece.lastgroup or "", piece[0]) for piece in PIECE.finditer(text))
