"""Columns that look like a part of the conversation and are none: an error, so that nothing is lost in silence."""

from __future__ import annotations

import json
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.formats import COLUMNS, CONTENT, MAY_STAND_BESIDE, plain
from swift_core.data.values import loaded


def check_unused(row: Row) -> None:
    """SwiftError where a column that is left over says something that the conversation does not say.

    A question that is written out elsewhere too, the whole text as it was rendered or a second copy of the messages
    is no loss. Answers may stand beside the conversation: rewards compare with them.
    """
    for name, value in row.extra.items():
        ours = CONTENT.get(plain(name))
        if ours and value not in (None, "", [], {}) and not _may_stay(row, name) and not _is_said(row, value):
            raise SwiftError(f"{row.where}: {_advice(name, ours)}")


def _may_stay(row: Row, name: str) -> bool:
    return name in MAY_STAND_BESIDE and bool(row.messages)


def _advice(name: str, ours: str) -> str:
    if name in COLUMNS.get(ours, (ours,)):
        rename = json.dumps({name: f"my_{name}"})
        return (
            f"the column {name!r} says something else than the columns that were read. Leave one of them out, or "
            f"keep it apart with --columns '{rename}'."
        )
    return (
        f"the column {name!r} looks like a part of the conversation and was not read. Map it: "
        f"--columns '{json.dumps({name: ours})}'."
    )


def _is_said(row: Row, value: Any) -> bool:
    """Whether the conversation holds all of it, or it holds every question of the conversation."""
    talk = [*row.messages, *(row.rejected or [])]
    whole = "\n".join(str(m.get("content") or "") for m in talk)
    texts = _texts(value)
    if texts and all(text.strip() in whole for text in texts):
        return True
    questions = [str(m["content"]).strip() for m in row.messages if m["role"] == "user"]
    written = "\n".join(texts)
    return bool(questions) and all(questions) and all(question in written for question in questions)


def _texts(value: Any) -> list[str]:
    """The texts of a column: it itself, or the contents of the messages that it lists."""
    if isinstance(value, str):
        if not value.lstrip().startswith("["):
            return [value]
        try:
            value = loaded(value, "")
        except SwiftError:
            return [value]
    listed = value if isinstance(value, list) else [value]
    texts = [m.get("content", m.get("value")) if isinstance(m, dict) else m for m in listed]
    return [text for text in texts if isinstance(text, str)] if all(isinstance(t, str) for t in texts) else []
