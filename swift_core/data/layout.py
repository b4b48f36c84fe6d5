"""How the columns of a data set are laid out, in the words of LLaMA-Factory's `dataset_info.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.data.formats import CONTENT, plain
from swift_core.data.values import loaded, shown

Raw = dict[str, Any]

COLUMNS = {
    "prompt": "instruction",
    "query": "input",
    "response": "response",
    "messages": "messages",
    "history": "history",
    "system": "system",
    "tools": "tools",
    "images": "images",
    "videos": "videos",
    "audios": "audios",
    "chosen": "chosen",
    "rejected": "rejected",
    "kto_tag": "label",
}
"""The file's word for a column → our column."""

DEFAULT_COLUMNS = {
    "alpaca": {"prompt": "instruction", "query": "input", "response": "output"},
    "sharegpt": {"messages": "conversations"},
    "openai": {"messages": "messages"},
}
"""Formatting → the columns of a data set whose entry names none."""

TALKS = ("messages", "chosen", "rejected")
"""Our columns that hold messages."""

ROLES = {
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": "tool",
    "function_tag": "tool_call",
    "system_tag": "system",
}
"""Tag → whose messages have its value as their role."""

SHAREGPT = {
    "role_tag": "from",
    "content_tag": "value",
    "user_tag": "human",
    "assistant_tag": "gpt",
    "observation_tag": "observation",
    "function_tag": "function_call",
    "system_tag": "system",
}
OPENAI = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
DEFAULT_TAGS = {"alpaca": SHAREGPT, "sharegpt": SHAREGPT, "openai": SHAREGPT | OPENAI | {"observation_tag": "tool"}}


@dataclass(frozen=True)
class Layout:
    """One entry of the file. columns: the file's word → the data set's column. tags: the words of its messages."""

    columns: Mapping[str, str]
    tags: Mapping[str, str]

    def applied(self, raw: Raw) -> Raw:
        """The row with our columns. Those that the entry does not name are kept beside the conversation."""
        where = str(raw.get("_where", "row"))
        named = {theirs: COLUMNS[word] for word, theirs in self.columns.items()}
        row: Raw = {}
        for name, value in raw.items():
            ours = named.get(name)
            if ours is None:
                row[f"undeclared_{name}" if plain(name) in CONTENT else name] = value
            else:
                row[ours] = self._talk(value, where) if ours in TALKS else value
        return row

    def _talk(self, value: Any, where: str) -> Any:
        """Messages in the entry's tags with our words; an answer that is text stays."""
        if isinstance(value, str) and not value.lstrip().startswith(("[", "{")):
            return value
        value = loaded(value, where) if "messages" in self.columns else value
        if isinstance(value, list):
            return [self._message(item, where) for item in value]
        return self._message(value, where) if isinstance(value, dict) else value

    def _message(self, item: Any, where: str) -> Any:
        role, content = self.tags["role_tag"], self.tags["content_tag"]
        if not isinstance(item, dict) or role not in item:
            raise SwiftError(f"{where}: dataset_info.json says that messages have {role!r}, found {shown(item)}.")
        words = {self.tags[tag]: ours for tag, ours in ROLES.items()}
        said = item[role]
        if not isinstance(said, str) or said not in words:
            raise SwiftError(
                f"{where}: dataset_info.json has no tag for the role {shown(said)}. It has: {', '.join(words)}."
            )
        rest = {k: v for k, v in item.items() if k not in (role, content)}
        return {**rest, "role": words[said], "content": item.get(content)}


def read_layout(entry: Raw, where: str) -> Layout:
    """The layout of an entry; SwiftError where it has words that are not of the format."""
    form = entry.get("formatting", "alpaca")
    if not isinstance(form, str) or form not in DEFAULT_COLUMNS:
        raise SwiftError(f"{where}: formatting {shown(form)} is not {', '.join(DEFAULT_COLUMNS)}.")
    columns = _words(entry, "columns", COLUMNS, where) or dict(DEFAULT_COLUMNS[form])
    if entry.get("ranking"):
        columns.pop("response", None)
        if not {"chosen", "rejected"} <= columns.keys():
            raise SwiftError(f"{where}: ranking needs the columns chosen and rejected.")
    return Layout(columns, DEFAULT_TAGS[form] | _words(entry, "tags", SHAREGPT, where))


def _words(entry: Raw, key: str, known: Mapping[str, str], where: str) -> dict[str, str]:
    words = entry.get(key) or {}
    if not isinstance(words, dict) or not all(isinstance(v, str | None) for v in words.values()):
        raise SwiftError(f"{where}: {key} must be an object of texts, found {shown(words)}.")
    for word in words.keys() - known.keys():
        raise SwiftError(f"{where}: {key} knows no {word!r}.{did_you_mean(word, known)} Known: {', '.join(known)}.")
    return {word: text for word, text in words.items() if text is not None}
