"""What other programs, and habit, call our options: suggestions for an error, never taken silently.

The table is `other_words.tsv`: a word, what says the same here, and who uses the word. A word stands there only if it
means exactly that; a word that is an alias of an option needs no row.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

TABLE = Path(__file__).with_suffix(".tsv")


class Meaning(NamedTuple):
    """What a word means here. said: options with their values, as one writes them. users: who knows the word."""

    said: str
    users: str

    def names(self) -> list[str]:
        """The options that it names, without their dashes."""
        return re.findall(r"--(\w+)", self.said)


@functools.cache
def other_words() -> dict[str, list[Meaning]]:
    """The table: each word with its meanings; where there are several, the job's options decide."""
    table: dict[str, list[Meaning]] = {}
    for line in TABLE.read_text(encoding="utf-8").splitlines():
        word, said, users = line.split("\t")
        table.setdefault(word, []).append(Meaning(said, users))
    return table


def said_here(word: str, known: Collection[str]) -> str:
    """` Here it is --learning_rate.` for a meaning of `word` whose first option is among `known`, else nothing."""
    for meaning in other_words().get(word, ()):
        if meaning.names()[0] in known:
            return f" Here it is {meaning.said}."
    return ""
