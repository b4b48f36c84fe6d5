"""Whether answers can be derived from a chat template at all: ten contents in the first and in a second round.

A template that changes contents, puts an end before them, ignores `add_generation_prompt` or differs from one
rendering to the next cannot be trained on soundly. A look at fixed probes is never proof: rows are checked too.
"""

from __future__ import annotations

from swift_core.templates.chat import QUESTION, Message, Refused
from swift_core.templates.derive import QUESTIONS, ROUNDS, Deriver

PROBES = (
    "Rest",
    "x < y && z > \"q\" 'p' <b>&amp;</b>",
    "aBcDeF gHi",
    "First line.\n\n    indented\n\ttab",
    "{{ x }} {% if y %} {query} %s",
    "1, 2, 3",
    QUESTION,
    "user assistant system",
    "你好 Ünïcödé 👍",
    "One long sentence of many words. " * 40 + "End.",
)


def objection(deriver: Deriver) -> str:
    """Why the chat template is unsound, as part of a sentence; empty where nothing was found."""
    form = deriver.form
    try:
        if form.text(ROUNDS) != form.text(ROUNDS):
            return "it writes the same conversation differently each time"
        if QUESTION not in form.prompt(QUESTIONS):
            return "its prompt does not hold the question"
        if form.prompt(QUESTIONS) == form.text(QUESTIONS) and _lead(deriver, QUESTIONS).strip():
            return "it ignores add_generation_prompt"
        return _objection_to_frames(deriver)
    except Refused as error:
        return str(error)


def _objection_to_frames(deriver: Deriver) -> str:
    for before in (QUESTIONS, [*ROUNDS, *QUESTIONS]):
        frames = {_frame(deriver, before, content) for content in PROBES}
        if len(frames) > 1:
            return "what stands around an answer depends on its words"
        lead = next(iter(frames))[0]
        if any(stop in lead for stop in deriver.form.stops):
            return "a text that ends an answer stands before it"
    return ""


def _lead(deriver: Deriver, before: list[Message]) -> str:
    return _frame(deriver, before, PROBES[0])[0]


def _frame(deriver: Deriver, before: list[Message], content: str) -> tuple[str, str]:
    """What is said before and behind `content`. Refused where it is not there as it stands."""
    answer = deriver.answer([*before, {"role": "assistant", "content": content}])
    lead, _, behind = answer.said.partition(content)
    return lead, behind
