"""How the columns of a data set become ours, declared: by the card of a published one, or by a `dataset_info.json`."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.data.formats import CONTENT, MAY_STAND_BESIDE, plain
from swift_core.data.paths import PATH, filled, paths_in, value_at
from swift_core.data.transforms import TRANSFORMS
from swift_core.data.values import loaded, shown

Raw = dict[str, Any]
Text = str | list[str] | int
Texts = Mapping[str, Text]

TALKS = ("messages", "chosen", "rejected")
"""Our columns that hold messages."""

LEFT_OUT = "-"
"""In place of our column or role: what is not read."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What stands in which column. Its steps, in the order in which they are taken:

    transform: a function of `swift_core.data.transforms`, by name, where columns do not say it.
    replace: column → regular expression and what takes its place, several pairs in one list.
    parse: column → regular expression; its named groups become columns. SwiftError where it does not fit.
    names: column or path → list of names; numbers that stand there become the names with these numbers, from 0.
    keep: column → regular expression that its text must hold; rows in which it does not are left out, and counted.
    columns: theirs (or a path into one, as `answers[text][0]`) → ours; `-` leaves it out.
    texts: our column → text with `{paths}`, of several the first whose paths are all there; a number stands as it is.
    each: texts of several rows that are made of one.
    turns: path of the questions, path of the answers of a conversation, each a list.
    objects: `ref`, `bbox` → path; `bbox_type` → real, norm_1 or norm_1000.
    role, content: the keys of a message. roles: their words for roles → ours; `-` leaves such messages out.
    speakers: what begins each turn, where a whole conversation is one text → role.

    Where columns, texts, turns or objects say what a row is, other columns that look like a part of the conversation
    are kept beside it as `undeclared_NAME`, unless a text holds them. name: who declares it, for messages.
    """

    transform: str = ""
    replace: Mapping[str, list[str]] = field(default_factory=dict)
    parse: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, list[str]] = field(default_factory=dict)
    keep: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, str] = field(default_factory=dict)
    texts: Texts = field(default_factory=dict)
    each: list[Texts] = field(default_factory=list)
    turns: list[str] = field(default_factory=list)
    objects: Mapping[str, str] = field(default_factory=dict)
    role: str = ""
    content: str = ""
    roles: Mapping[str, str] = field(default_factory=dict)
    speakers: Mapping[str, str] = field(default_factory=dict)
    name: str = field(default="the layout", repr=False)

    def rows(self, raw: Raw, spared: Collection[str] = ()) -> list[Raw]:
        """The rows that a raw row becomes, in our columns: one, none that is kept, or several.

        spared: columns that the user maps. Raises SwiftError, which begins with the row's place, where the row is
        not as declared.
        """
        where = str(raw.get("_where", "row"))
        raw = self._prepared(dict(raw), where)
        if not all(re.search(pattern, str(raw.get(name, ""))) for name, pattern in self.keep.items()):
            return []
        row = self._named(raw, spared, where)
        return [self._talks(row | self._texts(each, raw, where), where) for each in self.each or [{}]]

    def _prepared(self, raw: Raw, where: str) -> Raw:
        if self.transform:
            raw = TRANSFORMS[self.transform](raw, where)
        for name, pairs in self.replace.items():
            for pattern, text in zip(pairs[::2], pairs[1::2], strict=True):
                raw[name] = re.sub(pattern, text, raw[name]) if isinstance(raw.get(name), str) else raw.get(name)
        for name, pattern in self.parse.items():
            raw |= self._parsed(name, pattern, raw, where)
        for path, names in self.names.items():
            raw[path] = _named(value_at(raw, path, where), names, f"{where}, {path}")
        return raw

    def _parsed(self, name: str, pattern: str, raw: Raw, where: str) -> Raw:
        match = re.search(pattern, str(raw.get(name, "")))
        if match is None:
            raise SwiftError(f"{where}: the column {name!r} is not as {self.name} says, {shown(raw.get(name))}.")
        return match.groupdict()

    @cached_property
    def _fills(self) -> set[str]:
        """Our columns that are filled; empty where nothing says what a row is."""
        filled = {*self.columns.values(), *self.texts, *(ours for each in self.each for ours in each)}
        return filled | ({"messages"} if self.turns else set()) | ({"objects"} if self.objects else set())

    @cached_property
    def _told(self) -> set[str]:
        """Their columns that stand in a text or a conversation that is made of them: they need no place beside it."""
        each = [text for texts in (self.texts, *self.each) for text in texts.values()]
        texts = [one for text in each for one in (text if isinstance(text, list) else [str(text)])]
        return {_column(path) for path in (*self.turns, *(p for text in texts for p in paths_in(text)))} | {*self.parse}

    def _named(self, raw: Raw, spared: Collection[str], where: str) -> Raw:
        """The row's columns under our names; those that nobody declares beside the conversation."""
        self._check_there(raw, spared, where)
        made = self._declared(raw, where)
        row: Raw = {}
        for name, value in raw.items():
            if name not in self.columns:
                hidden = name not in spared and self._hides(name, made)
                if not (hidden and name in self._told):
                    row[f"undeclared_{name}" if hidden else name] = value
        return row | made

    def _declared(self, raw: Raw, where: str) -> Raw:
        """Our columns as the layout fills them."""
        made: Raw = {}
        for path, ours in self.columns.items():
            value = None if ours == LEFT_OUT else value_at(raw, path, where)
            if value is not None and ours in made:
                raise SwiftError(f"{where}: {self.name} takes two columns for {ours!r}, and the row has both.")
            made |= {} if value is None else {ours: value}
        made |= self._texts(self.texts, raw, where)
        if self.turns:
            asked, answered = (value_at(raw, path, where) for path in self.turns)
            made["messages"] = _alternating(asked, answered, where)
        if self.objects:
            made["objects"] = self._objects(raw, where)
        return made

    def _hides(self, name: str, made: Raw) -> bool:
        """Whether a column that nobody declares would be taken for a part of the conversation."""
        answered = made.get("response") is not None or made.get("messages") is not None
        beside = name in MAY_STAND_BESIDE and name not in made and answered
        return bool(self._fills) and plain(name) in CONTENT and not beside

    def _check_there(self, raw: Raw, spared: Collection[str], where: str) -> None:
        """SwiftError where not one of the columns is there that are read: then the layout is another data set's."""
        if self.columns and not spared and not any(_column(path) in raw for path in self.columns):
            there = ", ".join(str(name) for name in raw if name != "_where")
            raise SwiftError(
                f"{where}: {self.name} names the columns {', '.join(self.columns)}; the row has {there}. "
                "Map them with --columns."
            )

    def _texts(self, texts: Texts, raw: Raw, where: str) -> Raw:
        return {ours: self._text(ours, text, raw, where) for ours, text in texts.items()}

    def _text(self, ours: str, text: Text, raw: Raw, where: str) -> Any:
        if isinstance(text, int):
            return text
        choices = [text] if isinstance(text, str) else text
        for choice in choices:
            made = filled(choice, raw, where)
            if made is not None:
                return made
        raise SwiftError(f"{where}: {self.name} makes {ours} of {' or '.join(choices)!r}, and a column is missing.")

    def _objects(self, raw: Raw, where: str) -> Raw:
        made: Raw = {key: value_at(raw, path, where) for key, path in self.objects.items() if key != "bbox_type"}
        boxes = made.get("bbox") or []
        made["bbox"] = [boxes] if boxes and not isinstance(boxes[0], list | tuple) else boxes
        made["ref"] = [made["ref"]] if isinstance(made.get("ref"), str) else made.get("ref") or []
        return made | {"bbox_type": self.objects.get("bbox_type", "real")}

    # -- messages --------------------------------------------------------------------------------------------
    def _talks(self, row: Raw, where: str) -> Raw:
        if not (self.role or self.content or self.roles or self.speakers):
            return row
        return {name: self._talk(value, where) if name in TALKS else value for name, value in row.items()}

    def _talk(self, value: Any, where: str) -> Any:
        """Messages with our words; an answer that is text stays."""
        if isinstance(value, str) and self.speakers:
            return list(_spoken(value, self.speakers))
        if isinstance(value, str):
            if not value.lstrip().startswith(("[", "{")):
                return value
            value = loaded(value, where) if "messages" in self.columns.values() else value
        if isinstance(value, list):
            return [message for item in value if (message := self._message(item, where))]
        return self._message(value, where) if isinstance(value, dict) else value

    def _message(self, item: Any, where: str) -> Raw | None:
        role, content = self.role or _first(item, ("role", "from")), self.content or _first(item, ("content", "value"))
        if not isinstance(item, dict) or role not in item:
            raise SwiftError(f"{where}: {self.name} says that messages have {role!r}, found {shown(item)}.")
        said, rest = item[role], {k: v for k, v in item.items() if k not in (role, content)}
        ours = self.roles.get(said, said if isinstance(said, str) else "")
        return None if ours == LEFT_OUT else {**rest, "role": ours, "content": item.get(content)}


def _column(path: str) -> str:
    match = PATH.fullmatch(path)
    return match[1] if match else path


def _first(item: Any, keys: tuple[str, ...]) -> str:
    return next((key for key in keys if isinstance(item, dict) and key in item), keys[0])


def _named(value: Any, names: list[str], where: str) -> Any:
    """The names with the numbers of a column, which holds one or a list; None where it holds nothing."""
    if value is None:
        return None
    if isinstance(value, list):
        return [_named(item, names, where) for item in value]
    if not str(value).isdigit() or int(value) >= len(names):
        raise SwiftError(f"{where}: {shown(value)} is not the number of one of {', '.join(names)}.")
    return names[int(value)]


def _alternating(asked: Any, answered: Any, where: str) -> list[Raw]:
    if not isinstance(asked, list) or not isinstance(answered, list) or len(asked) != len(answered):
        raise SwiftError(f"{where}: questions and answers must be lists of one length.")
    pairs = zip(asked, answered, strict=True)
    return [{"role": r, "content": t} for pair in pairs for r, t in zip(("user", "assistant"), pair, strict=True)]


def _spoken(text: str, speakers: Mapping[str, str]) -> Iterator[Raw]:
    """The turns of a conversation in one text; what stands before the first speaker is the system's."""
    parts = re.split(f"(?:^|(?<=\\n))({'|'.join(map(re.escape, speakers))})", text.strip())
    if parts[0].strip():
        yield {"role": "system", "content": parts[0].strip()}
    for speaker, said in zip(parts[1::2], parts[2::2], strict=True):
        yield {"role": speakers[speaker], "content": said.strip()}
