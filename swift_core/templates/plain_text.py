"""Control words inside what a user or a tool says, kept as text: `<|im_end|>` there ends no turn.

A guard, two characters that stand together in no text, is put inside each such word. Templates write it like any other
text, and the tokenizer sees what stands before it and behind it apart, so that neither holds the word.
"""

from __future__ import annotations

import dataclasses
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.templates.added_tokens import words_of
from swift_core.templates.render import Span

if TYPE_CHECKING:
    from swift_core.contract.job import Job

GUARD = "\ufdd0\ufdd1"
"""Two noncharacters of Unicode, which are not for interchange; either alone is text like any other."""

SAID_BY_OTHERS = ("user", "tool")
"""Roles whose words are not the operator's."""


def guarded(job: Job, row: Row, tokenizer: Any) -> Row:
    """The row with a guard inside each control word of its users' and tools' texts, where --plain_user_text asks it.

    Control words are the tokenizer's special tokens, and its other added words that stand in the chat template
    (`<think>`). Placeholders of the row's own media are none. Raises SwiftError where the tokenizer must see texts
    whole, and so cannot take such a word as text, and for a text that holds a guard itself, whoever says it.
    """
    if any(GUARD in (message.get("content") or "") for message in row.messages):
        raise SwiftError(
            f"{row.where}: a text holds U+FDD0 and U+FDD1 together, which are no characters; leave them out."
        )
    if not getattr(job.options, "plain_user_text", False):
        return row
    find = _control_words(tokenizer, len(tokenizer), repr(job.one("template")))
    own = {f"<{name}>" for name in row.media} | ({"<bbox>", "<ref-object>"} if row.objects else set())
    messages = [_guarded_message(m, find, own) for m in row.messages]
    if messages == row.messages:
        return row
    if words_of(tokenizer) is None:
        said = "".join(m["content"] for m in messages if m["role"] in SAID_BY_OTHERS)
        word = find.search(said.replace(GUARD, ""))
        raise SwiftError(
            f"{row.where}: the text holds {word[0] if word else 'a control word'!r}, which this model's tokenizer "
            "cannot take as text. Leave it out, or let it count as a control token: --plain_user_text false."
        )
    return dataclasses.replace(row, messages=messages)


def _guarded_message(message: dict[str, Any], find: re.Pattern[str], own: set[str]) -> dict[str, Any]:
    text = message.get("content") or ""
    if message["role"] not in SAID_BY_OTHERS or not text:
        return message
    return {**message, "content": _guarded_text(text, find, own)}


def _guarded_text(text: str, find: re.Pattern[str], own: set[str]) -> str:
    """The text with a guard behind the first character of each word, until none is left (words may overlap)."""
    done = ""
    while done != text:
        done, text = text, find.sub(lambda m: m[0] if m[0] in own else f"{m[0][0]}{GUARD}{m[0][1:]}", text)
    return done


@lru_cache(maxsize=8)
def _control_words(tokenizer: Any, _: int, template: str) -> re.Pattern[str]:
    """A regex of the control words, longest first. The number of words is part of the key, as words may be added."""
    written = template + str(getattr(tokenizer, "chat_template", None) or "")
    added = tokenizer.added_tokens_decoder.values()
    words = {w.content for w in added if w.special or w.content in written} | set(tokenizer.all_special_tokens)
    several = sorted((w for w in words if len(w.strip()) > 1), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, several)) or "(?!)")


def cut_at_guards(spans: list[Span]) -> list[list[Span]]:
    """The spans in groups, cut at guards, which are left out; each group is tokenized by itself."""
    groups: list[list[Span]] = [[]]
    for span in spans:
        for number, text in enumerate(span.text.split(GUARD)):
            if number:
                groups.append([])
            if text:
                groups[-1].append(dataclasses.replace(span, text=text))
    return groups
