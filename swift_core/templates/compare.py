"""A declared chat template beside a checkpoint's own: on which conversations they differ, and where."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.templates.affixes import common_prefix
from swift_core.templates.chat import DATE_MARK, ChatForm, Message, Refused
from swift_core.templates.declaration import Template
from swift_core.templates.derive import Deriver
from swift_core.templates.probes import PLAIN, THOUGHTS
from swift_core.templates.render import Span, declared_spans


@dataclass(frozen=True)
class Difference:
    """One conversation that the two write differently. probe: its name; ours, theirs: the texts."""

    probe: str
    ours: str
    theirs: str

    def shown(self, width: int = 60) -> str:
        """The first place where they part, both sides in quotes."""
        at = len(common_prefix([self.ours, self.theirs]))
        start = max(0, at - 20)
        dots = "…" if start else ""
        ours, theirs = (f"{dots}{t[start : at + width]!r}" for t in (self.ours, self.theirs))
        return f"{self.probe}: {ours} against the checkpoint's {theirs}"


def differences(
    template: Template, form: ChatForm, tokenizer: Any, probes: dict[str, list[Message]]
) -> list[Difference]:
    """The probes of which the template writes another prompt or text than the chat template.

    What follows the end of the last answer is no difference, nor is the day. A conversation that the chat template
    itself refuses is left out.
    """
    results = (_difference(template, form, tokenizer, name, messages) for name, messages in probes.items())
    return [difference for difference in results if difference]


def refused(form: ChatForm, probes: dict[str, list[Message]]) -> str:
    """Why the chat template writes none of the probes, in its own words; empty where it writes one."""
    reason = ""
    for messages in probes.values():
        try:
            form.text(messages)
            return ""
        except Refused as error:
            reason = str(error)
    return reason


def agrees(template: Template, deriver: Deriver, tokenizer: Any) -> bool:
    """Whether a fitted template writes the same prompts, texts and answers as the chat template, on plain probes."""
    probes = PLAIN | (THOUGHTS if deriver.form.key else {})
    if differences(template, deriver.form, tokenizer, probes):
        return False
    return all(_same_answer(template, deriver, tokenizer, messages) for messages in probes.values())


def _same_answer(template: Template, deriver: Deriver, tokenizer: Any, messages: list[Message]) -> bool:
    try:
        theirs = deriver.answer(messages)
    except Refused:
        return True  # nothing to compare with: such rows are refused one by one
    spans = written(template, messages, tokenizer)
    last = max(n for n, span in enumerate(spans) if not span.answer and n < len(spans) - 1)
    prompt = "".join(s.text for s in spans[: last + 1])
    said = "".join(s.text for s in spans[last + 1 :] if s.answer)
    return (prompt, said) == (theirs.prompt, theirs.said)


def _difference(
    template: Template, form: ChatForm, tokenizer: Any, name: str, messages: list[Message]
) -> Difference | None:
    first = None
    for clock in form.clocks():
        try:
            asked, whole = clock.prompt(messages[:-1]), clock.text(messages)
        except Refused:
            return None
        try:
            prompt = text_of(written(template, messages[:-1], tokenizer, generation=True))
            text = text_of(written(template, messages, tokenizer))
        except SwiftError as error:
            return Difference(name, f"({error})", asked)
        ends = (*form.stops, *template.stop_words(tokenizer))
        if not _same(prompt, asked):
            first = first or Difference(name, prompt, asked)
        elif not same_text(text, whole, ends):
            first = first or Difference(name, text, whole)
        else:
            return None
    return first


def _same(ours: str, theirs: str) -> bool:
    if DATE_MARK not in theirs:
        return ours == theirs
    pattern = ".{4,40}?".join(map(re.escape, theirs.split(DATE_MARK)))
    return re.fullmatch(pattern, ours, re.DOTALL) is not None


def same_text(ours: str, theirs: str, ends: Iterable[str]) -> bool:
    """Whether two finished conversations are the same up to the end of the last answer.

    ends: texts that end an answer. The end may be missing in `theirs`, where it opens the next turn.
    """
    tail = re.compile(rf"(?:(?:{'|'.join(sorted(map(re.escape, ends), key=len, reverse=True))})\s*)*\Z")
    (ours, our_end), (theirs, their_end) = (_split(tail, text) for text in (ours, theirs))
    return _same(ours, theirs) and (not their_end or their_end.startswith(our_end))


def _split(tail: re.Pattern[str], text: str) -> tuple[str, str]:
    match = tail.search(text)
    assert match is not None  # it matches an empty text
    return text[: match.start()], match[0].strip()


def written(template: Template, messages: list[Message], tokenizer: Any, generation: bool = False) -> list[Span]:
    """A conversation without media and tools as the declaration writes it, thoughts of earlier answers as it says."""
    quiet: Any = _Quiet(template)
    return declared_spans(quiet, Row(messages, where="a probe"), tokenizer, generation)


def text_of(spans: list[Span]) -> str:
    """The spans' text."""
    return "".join(span.text for span in spans)


class _Quiet:
    """What rendering asks of a job, and nothing else: one template, no options, every text in one piece."""

    def __init__(self, template: Template):
        self.template = template
        self.memo: dict[Any, Any] = {}
        drops = False if template.thinking and not template.thinking.keep else None
        self.options = SimpleNamespace(enable_thinking=None, preserve_thinking=drops)
        self.hook = SimpleNamespace(weigh=_Unweighed())

    def one(self, kind: str) -> Template:
        """The template; nothing else is asked for."""
        return self.template

    def many(self, kind: str) -> list[Any]:
        """No agent format."""
        return []


class _Unweighed:
    """The hook `weigh` where no component answers it."""

    def __call__(self, **arguments: Any) -> None:
        return None

    def get_hookimpls(self) -> list[Any]:
        """Nobody."""
        return []
