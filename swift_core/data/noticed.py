"""What is noticed about the rows of a source and is no error, said once: columns kept, unusual beginnings."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import Trainer, declared
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.row import Row
from swift_core.data.formats import BOOKKEEPING, MESSAGE_KEYS, OTHER_KEYS, ROLE_NAMES
from swift_core.data.messages import is_message

if TYPE_CHECKING:
    from swift_core.contract.job import Job

MOST_NAMES = 10

READ_KEYS = {*MESSAGE_KEYS, *OTHER_KEYS, *BOOKKEEPING}
"""Keys of a message of which nothing need be said."""

FIELDS = {"rejected": "rejected answer", "label": "label"}
"""What a field of a row is called in a sentence."""


class Noticed:
    """Collects over the rows of a source. name: how the user calls it."""

    def __init__(self, job: Job, name: str):
        self.job, self.name = job, name
        self.columns: dict[str, None] = {}  # in the order of their first row
        self.beside: dict[str, None] = {}
        self.unread: dict[str, None] = {}  # keys of messages
        self.assistant_first, self.first = 0, ""
        trainers = job.many("trainer")
        self.trainer = trainers[0].entry.name if trainers else ""
        self.ignored = dict.fromkeys(declared(trainers[0].component, Trainer, "ignores") if trainers else (), 0)
        self.bad = 0

    def raw(self, item: dict[str, Any]) -> None:
        """Take note of a raw row's columns, and of its messages' keys."""
        if not item.keys() <= self.columns.keys():
            self.columns |= dict.fromkeys(item)
        for value in item.values():
            if isinstance(value, list):
                for message in value:
                    if isinstance(message, dict) and not message.keys() <= READ_KEYS:
                        self._unread(message)

    def _unread(self, message: dict[str, Any]) -> None:
        if is_message(message):
            said = {key for key, value in message.items() if value not in (None, "", [], {})}
            role = message.get("role", message.get("from"))
            named = {"name"} if ROLE_NAMES.get(str(role).lower()) == "tool" else set()  # the call says it
            self.unread |= dict.fromkeys(key for key in message if key in said - READ_KEYS - named)

    def row(self, row: Any) -> None:
        """Take note of a converted row."""
        if not isinstance(row, Row):
            return
        if row.extra and not row.extra.keys() <= self.beside.keys():
            self.beside |= dict.fromkeys(row.extra)
        for field in self.ignored:
            self.ignored[field] += getattr(row, field) is not None
        self.bad += row.label is False
        talk = row.messages[row.messages[0]["role"] == "system" :]
        if talk and talk[0]["role"] == "assistant" and any(m["role"] == "user" for m in talk):
            self.assistant_first += 1
            self.first = self.first or row.where

    def unmapped(self) -> list[str]:
        """The columns that --columns names and no row so far has, neither under that name nor under ours."""
        wanted = self.job.options.columns
        return [name for name, ours in wanted.items() if not {name, ours} & self.columns.keys()]

    def report(self) -> None:
        """Say it; SwiftError where --columns names what no row has."""
        missing = self.unmapped()
        if self.columns and missing:
            near = did_you_mean(missing[0], self.columns)
            there = names(c for c in self.columns if not c.startswith("_"))
            raise SwiftError(
                f"{self.name}: --columns names {names(missing)}, which is not there.{near} There: {there}."
            )
        if self.beside:
            self._say(f"kept beside the conversation, for rewards and methods that name them: {names(self.beside)}")
        if self.unread:
            self._say(f"keys of messages that are not read: {names(self.unread)}")
        for field, count in self.ignored.items():
            if count:
                bad = f"; {self.bad} of them say that the answer is bad, and it is learnt all the same" * (
                    field == "label" and self.bad > 0
                )
                self._say(f"{count} rows have a {FIELDS[field]}, from which {self.trainer} does not learn{bad}")
        if self.assistant_first:
            self._say(f"{self.assistant_first} conversations begin with the assistant, the first: {self.first}")

    def _say(self, text: str) -> None:
        """Once, however often the source is read."""
        line = f"{self.name}: {text}"
        if not self.job.memo.get(("noticed", line)):
            self.job.memo["noticed", line] = True
            self.job.say(line)


def names(words: Iterable[str]) -> str:
    """Names in a sentence, the first ten of them, each cut to 40 characters."""
    listed = [str(name)[:40] for name in words]
    return ", ".join(listed[:MOST_NAMES]) + f" and {len(listed) - MOST_NAMES} more" * (len(listed) > MOST_NAMES)
