"""Quiz files (`question? answer`, a line each) as data, and a reward for answers that are not too long."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract import components


@dataclass(kw_only=True, eq=False)
class Quiz(components.Dataset):
    """`--dataset quiz::FILE`: lines of a question, which ends with a question mark, and its answer."""

    swift_api = 1

    @hookimpl
    def load_rows(self, source: Any) -> Iterator[dict[str, Any]] | None:
        return rows_of(Path(source.id)) if source.hub == "quiz" else None


def rows_of(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, each with its place. Raises SwiftError for a file or a line that cannot be read."""
    if not file.is_file():
        raise SwiftError(f"The file {str(file)!r} does not exist.")
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        question, found, answer = line.partition("? ")
        if not found:
            raise SwiftError(f"{file}:{number}: a line is written: question? answer")
        yield {"query": f"{question}?", "response": answer, "_where": f"{file}:{number}"}


@dataclass(kw_only=True, eq=False)
class Brief(components.Reward):
    """1 for an answer of at most so many characters, less the longer it is."""

    swift_api = 1

    brief_length: int = option(20, "Characters that cost nothing.", ge=1)

    @hookimpl
    def score(self, completions: list[str]) -> list[float]:
        return [min(1.0, self.brief_length / max(len(text), 1)) for text in completions]
