"""Evaluators that are programs: started in their isolated environment, their log kept, their end checked."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.catalogue import venvs
from swift_core.contract.errors import SwiftError

if TYPE_CHECKING:
    from swift_core.contract.job import Job

LAST = 3
"""So many lines of a log stand in an error."""


def python_of(job: Job, component: Any) -> Path:
    """The interpreter of an evaluator's environment, which is made where it is not there."""
    entry = next(item.entry for item in job.many("evaluator") if item.component is component)
    environment = venvs.of_entry(entry)
    assert environment is not None  # the component's class declares one
    return environment.create()


def run_program(
    title: str, python: Path, code: str, task: Mapping[str, Any], folder: Path, variables: Mapping[str, str | None]
) -> Path:
    """Run `code` with the path of a JSON file that holds `task`, in `folder`; returns its log.

    title: what the program is called. variables: of its environment; None takes one away. What the program writes into
    its working directory stays in `folder`. Raises SwiftError with the last lines of the log where it fails.
    """
    config, log = folder / "task.json", folder / "log.txt"
    config.write_text(json.dumps(task, ensure_ascii=False, indent=1), encoding="utf-8")
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [str(python), "-c", code, str(config)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            check=False,
        )
    if done.returncode:
        raise SwiftError(f"{title} ended with code {done.returncode}: {last_words(log)} Its log is {log}.")
    return log


def last_words(log: Path) -> str:
    """The last lines of a log that are not empty, in one line."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    return " ".join([line.strip() for line in text.splitlines() if line.strip()][-LAST:])[-600:]
