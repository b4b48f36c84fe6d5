"""From a row to spans: the conversation's text in order, each piece with its loss weight."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.data.boxes import PLACEHOLDER, share_objects
from swift_core.data.row import Row
from swift_core.errors import SwiftError
from swift_core.templates.declaration import Template

if TYPE_CHECKING:
    from swift_core.job import Job


@dataclass
class Span:
    """A piece of the written conversation. weight: its factor in the loss, 0 where it is not trained.

    answer: whether it is part of what the model says (an answer or its end marker).
    """

    text: str
    weight: float = 0.0
    answer: bool = False


@dataclass
class Turn:
    """One turn as text. inline: tool results that go on inside the assistant's turn."""

    role: str
    text: str
    inline: bool = False
    loss: bool | None = None
    scale: float = 1.0


def spans_of(job: Job, row: Row, tokenizer: Any, generation: bool = False) -> list[Span]:
    """The row as spans; with `generation`, up to and including the header of the next answer."""
    template: Template = job.one("template")
    turns = _turns(job, row, template)
    system = turns.pop(0).text if turns and turns[0].role == "system" else template.default_system
    if generation and turns and turns[-1].role == "assistant":
        turns.pop()
    writer = _Writer(job, template, tokenizer)
    writer.open(system, row.where)
    for number, turn in enumerate(turns):
        writer.turn(turn, first=number == 0, last=_is_last(turns, number))
    if generation:
        writer.ask(turns)
    return _merged(writer.spans)


def _is_last(turns: list[Turn], number: int) -> bool:
    """Whether no later turn is the assistant's, save those that continue this one behind inline results."""
    later = next((i for i, t in enumerate(turns) if i > number and t.role == "assistant"), None)
    return later is None or (turns[number].inline and _is_last(turns, later))


class _Writer:
    """Appends spans turn by turn; knows the template, the tokenizer's tokens and the loss scale."""

    def __init__(self, job: Job, template: Template, tokenizer: Any):
        self.job, self.template, self.tokenizer = job, template, tokenizer
        self.spans: list[Span] = []
        self.query = ""
        self.open_answer = False

    def frame(self, text: str) -> None:
        """Text that nobody says: not trained, save where the loss scale weighs frames."""
        self._weighed("frame", self.template.fill(text, self.tokenizer), False)

    def open(self, system: str, where: str) -> None:
        if system and not self.template.system:
            raise SwiftError(f"{where}: the template {self.template.name!r} has no place for a system message.")
        if not system:
            return self.frame(self.template.start)
        before, _, behind = self.template.system.partition("{system}")
        self.frame(before)
        self._weighed("system", system, False)
        self.frame(behind)

    def turn(self, turn: Turn, first: bool, last: bool) -> None:
        if turn.role == "assistant":
            self._answer(turn, last)
        elif turn.inline:
            self._weighed("tool", turn.text, False)
        else:
            self._asked(turn, first)

    def ask(self, turns: list[Turn]) -> None:
        """The header of an answer to come; nothing where tool results stand inside an open answer."""
        if not (turns and turns[-1].inline):
            self.frame(self.template.assistant)

    def _asked(self, turn: Turn, first: bool) -> None:
        if not first:
            self.frame(self.template.between)
        shape = (turn.role == "tool" and self.template.tool) or self.template.user
        before, _, behind = shape.partition("{query}")
        self.frame(before)
        self._weighed(turn.role, turn.text, False)
        self.frame(behind)
        self.query = turn.text

    def _answer(self, turn: Turn, last: bool) -> None:
        if not self.open_answer:
            self.frame(self.template.assistant)
        start = len(self.spans)
        self._weighed("assistant", turn.text, last, turn)
        self.open_answer = turn.inline
        if turn.inline:  # the results follow in the same turn, which ends later
            return
        trained = any(s.weight > 0 for s in self.spans[start:])
        end = self.template.fill(self.template.end, self.tokenizer)
        self.spans.append(Span(end, 1.0 if trained else 0.0, answer=True))
        self.frame(self.template.after)

    def _weighed(self, role: str, text: str, last: bool, turn: Turn | None = None) -> None:
        if not text:
            return
        answer = role == "assistant"
        for piece, weight in self._weights(role, text, last, turn):
            self.spans.append(Span(piece, weight, answer))

    def _weights(self, role: str, text: str, last: bool, turn: Turn | None) -> list[tuple[str, float]]:
        if turn is not None and turn.loss is False:
            return [(text, 0.0)]
        pieces = self.job.hook.weigh(job=self.job, role=role, text=text, last=last, query=self.query)
        if turn is not None and turn.loss is True and not any(w for _, w in pieces or []):
            pieces = [(text, 1.0)]
        return [(p, w * (turn.scale if turn else 1.0)) for p, w in pieces or [(text, 0.0)]]


def _turns(job: Job, row: Row, template: Template) -> list[Turn]:
    """Messages as turns of plain text: boxes, media, tools, calls and results written out."""
    messages = _with_tools(job, row, _with_content_written(job, row, template))
    turns: list[Turn] = []
    results: list[str] = []
    for number, message in enumerate(messages):
        if message["role"] == "tool":
            results.append(message.get("content") or "")
            if number + 1 < len(messages) and messages[number + 1]["role"] == "tool":
                continue
            _add_results(job, turns, results)
            results = []
        else:
            turns.append(_turn(job, message))
    return turns


def _with_content_written(job: Job, row: Row, template: Template) -> list[dict[str, Any]]:
    """The messages with boxes and media written into their contents; tools and calls never hold any."""
    if not row.objects and not row.media:
        return row.messages
    contents = _write_boxes(job, row, [m.get("content") or "" for m in row.messages])
    for name, written in template.media.items():
        contents = [text.replace(f"<{name}>", written) for text in contents]
    return [{**m, "content": text} for m, text in zip(row.messages, contents, strict=True)]


def _write_boxes(job: Job, row: Row, contents: list[str]) -> list[str]:
    if not row.objects:
        return contents
    shares = share_objects(row, contents)
    return [
        job.hook.write_boxes(job=job, text=text, row=share) if PLACEHOLDER.search(text) else text
        for text, share in zip(contents, shares, strict=True)
    ]


def _with_tools(job: Job, row: Row, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not row.tools:
        return messages
    has_system = messages[0]["role"] == "system"
    system = messages[0]["content"] if has_system else job.one("template").default_system
    text = job.hook.write_tools(job=job, tools=row.tools, system=system or "")
    return [{"role": "system", "content": text}, *messages[has_system:]]


def _turn(job: Job, message: dict[str, Any]) -> Turn:
    text = message.get("content") or ""
    if message.get("tool_calls"):
        calls = job.hook.write_calls(job=job, calls=message["tool_calls"])
        text = f"{text}\n{calls}" if text and not text.endswith("\n") else text + calls
    return Turn(message["role"], text, loss=message.get("loss"), scale=message.get("loss_scale", 1.0))


def _add_results(job: Job, turns: list[Turn], results: list[str]) -> None:
    text, inline = job.hook.write_results(job=job, results=results)
    if inline and turns and turns[-1].role == "assistant":
        turns[-1].inline = True
    turns.append(Turn("tool", text, inline=inline))


def _merged(spans: list[Span]) -> list[Span]:
    """Neighbours of one weight and kind as one span; empty ones dropped."""
    out: list[Span] = []
    for span in spans:
        if out and (out[-1].weight, out[-1].answer) == (span.weight, span.answer):
            out[-1].text += span.text
        elif span.text:
            out.append(span)
    return out
