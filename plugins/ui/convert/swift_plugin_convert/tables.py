"""The words of each program as data: `words/PROGRAM.tsv`, a row for each word and value; `launchers.tsv` for what
starts processes.

The columns are: the word, or an expression for words without rows of their own; the value, a regular expression that
fits it as a whole; what it is here; why, or a remark.

The value may also be `*` for any, or `unset` for a word that is not said, where the program's default is not ours;
`unset:dpo|export` holds for these trainers and jobs alone, without them it holds in training. What it is here are
options as on our command line, or `=` where nothing needs to be said, or `-` where there is no equal. In options,
`VALUE` is the word's value, `ITEMS` its list (commas divide it), `NOT` its opposite, `TWICE(word,8)` two times another
word of the file (8 where that is not said), and `$1` a group of the expression. An option with `+` behind its name is
added to a list. Options without any of these hold where the word is true. The rows of a word are tried in their order;
of two words that say one option, the later row wins.

Words that a program shares with `swift_core/job/other_words.tsv` need no row.
"""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import NamedTuple

from swift_core.job.other_words import other_words

FOLDER = Path(__file__).parent / "words"

LAUNCHERS = "launchers"
"""The table of what starts processes before a program's command."""

PROGRAMS = {"llamafactory": "LLaMA-Factory", "axolotl": "Axolotl", "trl": "TRL", "ms-swift": "ms-swift"}
"""Name of the table → how the program is called."""

UNSET = "unset"


class Row(NamedTuple):
    """A row of a table; see the module. place: its number, for what wins."""

    word: str
    value: str
    said: str
    why: str
    place: int = 0

    @property
    def is_default(self) -> bool:
        """Whether the row tells the program's default."""
        return self.value.partition(":")[0] == UNSET

    def fits(self, text: str) -> re.Match[str] | None:
        """The match where the row holds for a value, written as text."""
        pattern = ".*" if self.value == "*" else self.value
        return None if self.is_default else re.fullmatch(pattern, text, re.IGNORECASE | re.DOTALL)

    def holds_for(self, job: str, trainer: str) -> bool:
        """Whether a default holds for a job, which is empty where it trains, and a training method."""
        _, _, named = self.value.partition(":")
        return (job or trainer) in named.split("|") if named else not job


@functools.cache
def rows(program: str) -> list[Row]:
    """All rows of a program, then those of the table of other words that name it."""
    lines = (FOLDER / f"{program}.tsv").read_text(encoding="utf-8").splitlines()
    own = [line.split("\t") for line in lines if line and not line.startswith("#")]
    shared = [] if program == LAUNCHERS else _shared(program)
    return [Row(word, value, said, why, place) for place, (word, value, said, why) in enumerate(own + shared)]


def _shared(program: str) -> list[list[str]]:
    users = {PROGRAMS[program], "transformers"}
    return [
        [word, "*", meaning.said, ""]
        for word, meanings in other_words().items()
        for meaning in meanings
        if users & {user.removeprefix("older ") for user in _users(meaning.users)}
    ]


def _users(text: str) -> list[str]:
    return re.split(r", | and ", text)


@functools.cache
def rows_of(program: str, word: str) -> list[Row]:
    """The rows of a word, in their order; none where the program's table does not know it."""
    said = [row for row in rows(program) if not row.is_default]
    return [row for row in said if row.word == word] or [row for row in said if re.fullmatch(row.word, word)]
