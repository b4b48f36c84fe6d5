"""From a row to spans: the conversation's text in order, each piece with its loss weight."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.job.plugin_manager import direct
from swift_core.templates.declaration import Template, wanted_thoughts
from swift_core.templates.turns import Turn, own_tools, turns_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job


@dataclass(slots=True)
class Span:
    """A piece of the written conversation. weight: its factor in the loss, 0 where it is not trained.

    answer: whether it is part of what the model says (an answer or its end marker).
    """

    text: str
    weight: float = 0.0
    answer: bool = False


def spans_of(job: Job, row: Row, tokenizer: Any, generation: bool = False) -> list[Span]:
    """The row as spans; with `generation`, up to and including the header of the next answer."""
    spans: list[Span] | None = job.one("template").spans(job, row, tokenizer, generation)
    return declared_spans(job, row, tokenizer, generation) if spans is None else spans


def declared_spans(job: Job, row: Row, tokenizer: Any, generation: bool = False) -> list[Span]:
    """The row as spans, as the template's declaration says."""
    frames = Frames.of(job, tokenizer, row.thinking)
    turns = turns_of(job, row, frames.template)
    system = turns.pop(0).text if turns and turns[0].role == "system" else None
    if generation and turns and turns[-1].role == "assistant":
        turns.pop()
    _refuse_rounds(frames.template, turns, row.where)
    _refuse_order(frames.template, turns, row.where)
    writer = _Writer(frames, turns, generation)
    writer.open(system, row.where, own_tools(job, row, frames.template))
    for number in range(len(turns)):
        writer.turn(number)
    if generation:
        writer.ask()
    return writer.spans


def _refuse_rounds(template: Template, turns: list[Turn], where: str) -> None:
    if template.single and sum(t.role == "user" for t in turns) > 1:
        raise SwiftError(
            f"{where}: the template {template.name!r} knows one question and one answer, this row has several rounds."
        )


def _refuse_order(template: Template, turns: list[Turn], where: str) -> None:
    """SwiftError for turns in an order that the template has no words for; rows of data sets never are."""
    if not template.late_turn and any(turn.role == "system" for turn in turns):
        raise SwiftError(f"{where}: the template {template.name!r} has no place for a system message in the middle.")
    for before, turn in pairwise(turns):
        if before.role == turn.role != "system" and not template.assistant and not turn.inline:
            raise SwiftError(
                f"{where}: the template {template.name!r} writes questions and answers in turn, and these are two "
                f"{turn.role} messages in a row."
            )


class Frames:
    """What is the same in every row of a job: the template's texts, filled in and weighed once each."""

    def __init__(self, job: Job, tokenizer: Any, thinking: bool | None = None):
        self.job, self.tokenizer = job, tokenizer
        self.template: Template = job.one("template")
        self.opening = self.template.opening(tokenizer)
        self.wanted = wanted_thoughts(job.options, thinking)
        self.thinks = self.template.thinks(self.wanted)
        self.keeps: bool | None = getattr(job.options, "preserve_thinking", None)
        self.known: dict[str, list[tuple[str, float]]] = {}
        self.weigh = direct(job.hook.weigh)
        self.filled: dict[str, str] = {}

    @classmethod
    def of(cls, job: Job, tokenizer: Any, thinking: bool | None = None) -> Frames:
        """Those of this job and tokenizer, made on first use. thinking: a row's own word on it, before the job's."""
        key = ("frames", id(tokenizer), thinking)
        if key not in job.memo:
            job.memo[key] = cls(job, tokenizer, thinking)
        return job.memo[key]

    def fill(self, text: str) -> str:
        """A text of the template with the tokenizer's tokens in it."""
        if text not in self.filled:
            self.filled[text] = self.template.fill(text, self.tokenizer)
        return self.filled[text]

    def weighed(self, text: str) -> list[tuple[str, float]]:
        """A text of the template in weighed pieces; 0 save where the loss scale counts frames."""
        known = self.known.get(text)
        if known is None:
            known = self.known[text] = self.weights("frame", self.fill(text), False, "")
        return known

    def weights(self, role: str, text: str, last: bool, query: str) -> list[tuple[str, float]]:
        """One turn in weighed pieces, by the job's loss scale."""
        pieces: list[tuple[str, float]] | None
        pieces = self.weigh(job=self.job, role=role, text=text, last=last, query=query)
        return pieces or [(text, 0.0)]


class _Writer:
    """Appends spans turn by turn; neighbours of one weight and kind become one span."""

    def __init__(self, frames: Frames, turns: list[Turn], generation: bool):
        self.frames, self.template, self.turns, self.generation = frames, frames.template, turns, generation
        places = {turn.role: number for number, turn in enumerate(turns)}
        self.last_user, self.last_answer = places.get("user", -1), places.get("assistant", -1)
        self.spans: list[Span] = []
        self.query, self.late_system = "", ""
        self.rounds = 0
        self.open_answer = False
        self.owed = 0.0

    def add(self, pieces: list[tuple[str, float]], answer: bool = False) -> None:
        """Weighed pieces that follow what is there."""
        spans = self.spans
        for text, weight in pieces:
            if spans and spans[-1].weight == weight and spans[-1].answer == answer:
                spans[-1].text += text
            elif text:
                spans.append(Span(text, weight, answer))

    def frame(self, text: str) -> None:
        """Text that nobody says: not trained, save where the loss scale weighs frames."""
        if text:
            self.add(self.frames.weighed(text))

    def open(self, system: str | None, where: str, tools: bool) -> None:
        """What stands before the first turn, with the system text where it belongs there.

        tools: the text comes from the template's own agent format, which knows what stands around it.
        """
        template = self.template
        self.frame(self.frames.opening)
        if tools:
            return self._framed(template.tools, "system", "system", system or "")
        system = None if template.skip_empty_system and not (system or "").strip() else system
        system = (template.default_system or None) if system is None else self._trimmed("system", system)
        if system and not (template.system or template.late_system):
            raise SwiftError(f"{where}: the template {template.name!r} has no place for a system message.")
        if system is None or not template.system:
            self.late_system = system or ""
            return self.frame(template.start_for(self.frames.thinks))
        return self._framed(template.system_for(self.frames.thinks), "system", "system", system)

    def turn(self, number: int) -> None:
        """One turn after another."""
        turn = self.turns[number]
        if turn.role == "assistant":
            self._answer(number, turn)
        elif turn.inline:
            self._weighed("tool", turn.text)
        elif turn.role == "system":
            self._framed(self.template.late_turn, "system", "system", self._trimmed("system", turn.text))
        else:
            self._asked(number, turn)

    def ask(self) -> None:
        """The header of an answer to come; nothing where tool results stand inside an open answer."""
        if not (self.turns and self.turns[-1].inline):
            self.frame(self.template.assistant)
            self.frame(self.template.prompt_on if self.frames.thinks else self.template.prompt_off)

    def _asked(self, number: int, turn: Turn) -> None:
        """A question, or tool results that stand in a turn of their own."""
        template, text = self.template, turn.text
        if number:
            self.frame(template.between)
        shape = (turn.role == "tool" and template.tool) or template.user
        if turn.role == "user":
            self.rounds += 1
            text = self.query = self._trimmed("user", text)
            if template.thinking and self.frames.wanted is False and not text.endswith(template.thinking.off_query):
                text += template.thinking.off_query
        if "{round" in shape:
            shape = shape.replace("{round}", str(self.rounds)).replace("{round0}", str(self.rounds - 1))
        before, _, behind = shape.partition("{query}")
        self._opening(before)
        if number == self.last_user and self.late_system:
            self._framed(template.late_system, "system", "system", self.late_system)
        self._weighed(turn.role, text)
        self.frame(behind)

    def _opening(self, text: str) -> None:
        """How a turn opens. Its first token is trained where the answer before owes its end to it."""
        stop = next((w for w in self.template.stop if text.startswith(w)), "") if self.owed else ""
        if stop:
            self.add([(stop, self.owed)], answer=True)
        self.owed = 0.0
        self.frame(text[len(stop) :])

    def _answer(self, number: int, turn: Turn) -> None:
        last = self._is_last(number)
        held, pieces = self._said(number, turn, last)
        if not self.open_answer:
            self.frame(self.template.assistant)
            self.frame(held)
        self.add(pieces, answer=True)
        self.open_answer = turn.inline
        if turn.inline:  # the results follow in the same turn, which ends later
            return
        weight = float(any(w > 0 for _, w in pieces))
        template = self.template
        end = self._end_of(number, turn, pieces)
        self.add([(self.frames.fill(end), weight)], answer=True)
        self.owed = 0.0 if end else weight
        self.frame(template.after)

    def _end_of(self, number: int, turn: Turn, pieces: list[tuple[str, float]]) -> str:
        """What closes an answer. Calls may bring their own end; where no turn has one, results open the next."""
        template, last = self.template, number == len(self.turns) - 1
        if turn.calls:
            text = "".join(text for text, _ in pieces)
            if text.endswith(tuple(w for w in (*template.stop, template.end) if w)):
                return ""
        if turn.calls and last and not template.end:
            return next((w for w in template.stop if template.tool.startswith(w)), template.final_end)
        return template.final_end if last else template.end

    def _said(self, number: int, turn: Turn, last: bool) -> tuple[str, list[tuple[str, float]]]:
        """What the prompt holds behind the header, and the answer in weighed pieces."""
        current = number > self.last_user
        held, text = self._written(turn, current or self.frames.keeps is not False)
        pieces = self._weights(turn, text, last)
        if self.template.thinking is None or current or self.frames.keeps is not None:
            return held, pieces
        trained = not self.generation and any(w > 0 for _, w in pieces)
        if self.template.thinking.keep or trained:
            return held, pieces
        held, text = self._written(turn, False)
        return held, self._weights(turn, text, last)

    def _written(self, turn: Turn, thoughts: bool) -> tuple[str, str]:
        """What the prompt holds behind the header, and the answer's text, with its thoughts or without."""
        thinking = self.template.thinking
        text = turn.text if turn.inline or turn.calls or self.open_answer else self._trimmed("assistant", turn.text)
        if thinking is None:
            return "", self._framed_answer(turn, text)
        thought, text = self._trimmed("assistant", turn.thought), self._framed_answer(turn, text)
        if self.open_answer:
            return "", (thinking.write.replace("{thought}", thought) if thought and thoughts else "") + text
        if not thoughts:
            held, lead = thinking.earlier(thought), ""
        elif thought:
            opening, _, closing = thinking.write.partition("{thought}")
            held, lead = thinking.on, opening[len(thinking.on) :] + thought + closing
        else:
            held, lead = thinking.prompt_off, thinking.empty[len(thinking.prompt_off) :]
        # calls that bring their own line break do not open a second line behind a thought
        again = turn.calls and text.startswith("\n") and (held + lead).endswith("\n")
        return held, lead + (text[1:] if again else text)

    def _framed_answer(self, turn: Turn, text: str) -> str:
        """An answer's words in the frame of answers, with the calls in it or beside it."""
        before, _, behind = self.template.answer.partition("{answer}")
        before, behind = "" if self.open_answer else before, "" if turn.inline else behind
        if not turn.beside:
            return before + text + turn.written + behind
        return (before + text + behind if text else "") + turn.written

    def _is_last(self, number: int) -> bool:
        """Whether no later turn is the assistant's, save those that continue this one behind inline results."""
        if number == self.last_answer:
            return True
        return all(t.inline for t in self.turns[number : self.last_answer] if t.role == "assistant")

    def _trimmed(self, role: str, text: str) -> str:
        return text.strip() if role in self.template.trim else text

    def _framed(self, shape: str, name: str, role: str, text: str) -> None:
        before, _, behind = shape.partition("{" + name + "}")
        self.frame(before)
        self._weighed(role, text)
        self.frame(behind)

    def _weighed(self, role: str, text: str, last: bool = False) -> None:
        if text:
            self.add(self.frames.weights(role, text, last, self.query))

    def _weights(self, turn: Turn, text: str, last: bool) -> list[tuple[str, float]]:
        """An answer in weighed pieces; what the row says of it goes before the loss scale."""
        if turn.loss is False:
            return [(text, 0.0)]
        pieces = self.frames.weights("assistant", text, last, self.query)
        if turn.loss is True and not any(w for _, w in pieces):
            pieces = [(text, 1.0)]
        return pieces if turn.scale == 1.0 else [(p, w * turn.scale) for p, w in pieces]
