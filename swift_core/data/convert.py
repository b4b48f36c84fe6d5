"""From the row formats of the field (messages, query/response, Alpaca, ShareGPT, TRL, OpenAI) to the standard row."""

from __future__ import annotations

from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import EmptyAnswer, Row, check_row
from swift_core.data.formats import COLUMNS
from swift_core.data.messages import Talk, read_messages, read_talk, said_by
from swift_core.data.objects import read_objects
from swift_core.data.places import media_of, medium_of
from swift_core.data.tools import read_tools, without_filled_nulls
from swift_core.data.unused import check_unused
from swift_core.data.values import loaded, text_of

__all__ = ["COLUMNS", "read_messages", "read_tools", "to_row"]

Raw = dict[str, Any]

MEDIA = {"image": "images", "video": "videos", "audio": "audios"}
"""Modality → the column and the field of a row."""


def to_row(
    raw: Raw, columns: dict[str, str] | None = None, media_root: str | None = None, folder: str | None = None
) -> Row:
    """A raw row in the standard form, checked. columns: data set column → our column, from `--columns`.

    media_root: the folder of paths that are not absolute; without it they are looked for in `folder`, that of the
    data file. `raw` may bring `_where` (file:line). SwiftError where the row is unsound, or a column that looks
    like a part of the conversation would be lost.
    """
    where = str(raw.get("_where", "row"))
    rest = renamed(raw, columns or {}, where)
    _unfold_preference(rest, where)
    tools = read_tools(_take(rest, "tools"), where)
    chosen, rejected = _conversations(rest, where)
    for talk in (chosen, rejected) if tools else ():
        without_filled_nulls(talk.messages if talk else [], tools)
    row = Row(
        messages=chosen.messages,
        tools=tools,
        objects=read_objects(rest.pop("objects", None), where),
        rejected=rejected.messages if rejected else None,
        label=_take(rest, "label"),
        where=where,
    )
    for name, field in MEDIA.items():
        setattr(row, field, _media(rest, name, chosen, where, folder, media_root))
    row.extra = rest
    _place_media(row)
    check_unused(row)
    return check_row(row)


def renamed(raw: Raw, columns: dict[str, str], where: str) -> Raw:
    """The row's columns under our names, without those that are null; SwiftError where two would be one."""
    row: Raw = {}
    for name, value in raw.items():
        ours = columns.get(name, name)
        if value is None or name == "_where":
            continue
        if ours in row:
            raise SwiftError(
                f"{where}: two columns are to be {ours!r}; map one of them to another name with --columns."
            )
        row[ours] = value
    return row


# -- conversations -------------------------------------------------------------------------------------------
def _unfold_preference(rest: Raw, where: str) -> None:
    """OpenAI's preference form: `input` with messages and tools, `preferred_output`, `non_preferred_output`."""
    if "preferred_output" not in rest:
        return
    asked = loaded(rest.pop("input", {}), where)
    if not isinstance(asked, dict) or "messages" not in asked:
        raise SwiftError(f"{where}: beside preferred_output, input must be an object with messages.")
    for name in ("messages", "tools"):
        if asked.get(name):
            rest[name] = asked[name]
    rest["chosen"] = rest.pop("preferred_output")
    rest["rejected"] = rest.pop("non_preferred_output", None)


def _conversations(rest: Raw, where: str) -> tuple[Talk, Talk | None]:
    """The conversation, and the worse one where the row is a pair."""
    system = _take(rest, "system")
    listed = _take(rest, "messages")
    asked = _asked(rest, where) if listed is None else read_talk(listed, where)
    given = rest.pop("chosen", None) if listed is not None else _take(rest, "response")
    chosen = asked if given is None else _answered(asked, said_by("assistant", given, where), where)
    if not chosen.messages and listed is None:
        raise SwiftError(
            f"{where}: no conversation found in columns {_names(rest)}. "
            'Use messages, query/response, or map yours with --columns \'{"mine": "query"}\'.'
        )
    chosen = _with_system(chosen, system, where)
    rejected = _rejected(rest, where)
    if rejected is None:
        return chosen, None
    if rejected.begins in ("system", "user"):
        worse = _with_system(rejected, system, where)
        if rejected.begins == "user" and chosen.begins == "system":
            worse = Talk(chosen.messages[:1]) + rejected
    else:
        worse = _question_of(chosen, asked if given is not None else None, len(rejected.messages)) + rejected
    _check_same_question(chosen, worse, where)
    return chosen, worse


def _names(rest: Raw) -> str:
    names = sorted(map(str, rest))
    return str(names[:20]) + " …" * (len(names) > 20)


def _asked(rest: Raw, where: str) -> Talk:
    """What stands before the answer, from columns: the history and the question, which may be a list of messages."""
    talk = Talk()
    for pair in _history(rest, where):
        for role, value in zip(("user", "assistant"), pair, strict=True):
            talk += Talk([{"role": role, "content": text_of(value, where, "the history")}])
    question = _alpaca(rest, where)
    question = _take(rest, "query") if question is None else question
    return talk if question is None else talk + said_by("user", question, where)


def _history(rest: Raw, where: str) -> list[list[Any]]:
    pairs = loaded(rest.pop("history", None) or [], where)
    if not isinstance(pairs, list):
        raise SwiftError(f"{where}: history is a list of [query, response] pairs, found {type(pairs).__name__}.")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise SwiftError(f"{where}: history is a list of [query, response] pairs, found {str(pair)[:80]!r}.")
    return pairs


def _alpaca(rest: Raw, where: str) -> Any:
    """Alpaca's instruction and input as one question; None where a row has no instruction, or messages in it."""
    if isinstance(rest.get("instruction"), list | dict | None):
        return None
    parts = [rest.pop("instruction"), rest.pop("input", "")]
    return "\n".join(text for part in parts if (text := text_of(part, where, "an instruction")))


def _answered(asked: Talk, answer: Talk, where: str) -> Talk:
    """The conversation with its answer, which may be the whole conversation already."""
    if answer.begins in ("system", "user"):
        if not _holds(answer, asked):
            raise SwiftError(f"{where}: the answer is a conversation of its own, with another question than the row's.")
        return answer
    if asked.messages and asked.messages[-1]["role"] == "assistant" and asked.messages[-1:] == answer.messages:
        return asked
    return asked + answer


def _holds(whole: Talk, part: Talk) -> bool:
    texts = [m["content"] for m in whole.messages]
    return all(m["content"] in texts for m in part.messages)


def _with_system(talk: Talk, system: Any, where: str) -> Talk:
    if system is None or system == "":
        return talk
    said = {"role": "system", "content": text_of(system, where, "the system text")}
    if talk.begins != "system":
        return Talk([said]) + talk
    if talk.messages[0]["content"] != said["content"]:
        raise SwiftError(f"{where}: the column system says something else than the conversation's first message.")
    return talk


def _rejected(rest: Raw, where: str) -> Talk | None:
    value = rest.pop("rejected_messages", None)
    value = _take(rest, "rejected") if value is None else loaded(value, where)
    if value is None:
        return None
    if value == "" or value == []:
        raise EmptyAnswer(f"{where}: the rejected answer is empty.")
    return said_by("assistant", value, f"{where}, rejected")


def _question_of(chosen: Talk, asked: Talk | None, length: int) -> Talk:
    """What both answers of a pair follow: what was asked, else all up to the last user's turn, or the last answer.

    length: messages of the worse answer; a single one takes the place of the last answer.
    """
    messages = chosen.messages
    start = int(chosen.begins == "system" and asked is not None and asked.begins != "system")
    end = start + len(asked.messages) if asked is not None else 0
    if asked is not None and asked.messages and messages[start:end] == asked.messages != messages[start:]:
        pass
    elif length == 1:
        end = len(messages) - (messages[-1:] != [] and messages[-1]["role"] == "assistant")
    else:
        end = max((n for n, m in enumerate(messages, 1) if m["role"] == "user"), default=0)
    return Talk(messages[:end])


def _check_same_question(chosen: Talk, worse: Talk, where: str) -> None:
    if _opening(chosen) != _opening(worse) or worse.media not in ({}, chosen.media):
        raise SwiftError(f"{where}: the rejected conversation begins with another question than the chosen one.")


def _opening(talk: Talk) -> list[tuple[str, str]]:
    """Everything before the first answer."""
    said = [(m["role"], m["content"]) for m in talk.messages]
    return said[: next((n for n, (role, _) in enumerate(said) if role == "assistant"), len(said))]


def _take(rest: Raw, name: str) -> Any:
    for column in COLUMNS[name]:
        if rest.get(column) is not None:
            return rest.pop(column)
    return None


# -- media ---------------------------------------------------------------------------------------------------
def _media(rest: Raw, name: str, talk: Talk, where: str, folder: str | None, root: str | None) -> list[Any]:
    """The media of a column, or of the messages' content parts."""
    value = _take(rest, MEDIA[name])
    if value is None and name not in talk.media:
        return []
    where = f"{where}, {name}"
    inside = [medium_of(v, where, folder, root) for v in talk.media.get(name, [])]
    beside = [] if value is None or value == "" else media_of(value, where, folder, root)
    if inside and beside and inside != beside:
        raise SwiftError(f"{where}: they stand both in the messages and in the column {MEDIA[name]}; leave one out.")
    return inside or beside


def _place_media(row: Row) -> None:
    """Put placeholders that the row leaves out before its first user turn's text."""
    for messages in (row.messages, row.rejected or []):
        users = [m for m in messages if m["role"] == "user"]
        text = "".join(m["content"] for m in messages)
        for name, values in row.media.items():
            if users and f"<{name}>" not in text:
                users[0]["content"] = f"<{name}>" * len(values) + users[0]["content"]
