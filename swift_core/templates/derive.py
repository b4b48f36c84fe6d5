"""What a model says in each answer of a conversation, derived from its chat template alone.

The prompt is what a server sends: the chat template's text before the answer. What follows it in the finished text is
said by the model, if it passes every check here; else the row is refused. Markers around contents would not do: they
shield white space from being stripped, and miss thoughts, calls and headers (`facts` are in docs/templates.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from swift_core.templates.chat import ANSWER, QUESTION, ChatForm, Message, Refused
from swift_core.templates.thoughts import inline_thought

QUESTIONS: list[Message] = [{"role": "user", "content": QUESTION}]
ROUNDS: list[Message] = [*QUESTIONS, {"role": "assistant", "content": ANSWER}]


@dataclass
class Derived:
    """One answer. prompt: what the model sees before it; said: what it says; end: the part of `said` that ends it."""

    prompt: str
    said: str
    end: str

    @property
    def whole(self) -> str:
        """The conversation up to the end of the answer."""
        return self.prompt + self.said


class Deriver:
    """Derives the answers of conversations from one chat template."""

    def __init__(self, form: ChatForm):
        self.form = form
        self.header = self._header()
        self.openers = {role: self._opener(role) for role in ("user", "tool")}

    def _header(self) -> str:
        """What only a prompt ends with: the header of an answer; empty where the template writes none."""
        asked, prompt = self.form.text(QUESTIONS), self.form.prompt(QUESTIONS)
        return prompt[len(asked) :].strip() if prompt.startswith(asked) else ""

    def _opener(self, role: str) -> str:
        """The stop that opens a following turn, where no answer has an end of its own."""
        text = self.form._try(self.form.text, [*ROUNDS, {"role": role, "content": QUESTION}]) or ""
        behind = text.partition(ANSWER)[2].lstrip()
        return next((s for s in self.form.stops if behind.startswith(s)), "")

    def answer(self, messages: list[Message], tools: list[Any] | None = None) -> Derived:
        """The last message, an assistant's, as the model says it. Refused where that is not sound."""
        if not any(m["role"] in ("user", "tool") for m in messages[:-1]):
            raise Refused("nothing is asked before the answer")
        whole = self.form.text(messages, tools)
        thought, _ = self.form.split(messages[-1])
        prompts = self.form.prompts(messages[:-1], tools)
        prompt = max((p for p in prompts if whole.startswith(p)), key=len, default=None)
        if prompt is not None:
            rest = whole[len(prompt) :]
        elif prompts and (not thought or thought not in whole):
            prompt, rest = self._composed(prompts[0], whole, thought)
        else:
            raise Refused("its prompt is not how the finished text begins")
        self._check_prompt(prompt, messages[:-1], tools)
        behind = self._behind(rest, messages[-1])
        end = self._end(rest[behind:], messages[-1])
        return Derived(prompt, rest[:behind] + end, end)

    def _composed(self, prompt: str, whole: str, thought: str) -> tuple[str, str]:
        """A template that drops thoughts, although its prompt opens them: they are written as the prompt asks.

        An answer without any closes them at once, since no server sends a prompt without the opening.
        """
        base = prompt.rstrip().removesuffix("<think>")
        if base == prompt.rstrip() or not whole.startswith(base):
            raise Refused("it leaves the thoughts out" if thought else "its prompt is not how the finished text begins")
        words = whole[len(base) :].lstrip("\n")
        return prompt, f"{thought}\n</think>\n\n{words}"

    def _check_prompt(self, prompt: str, earlier: list[Message], tools: list[Any] | None) -> None:
        for message in earlier:
            words = self.form.split(message)[1] if message["role"] == "assistant" else None
            words = (message.get("content") or "") if words is None else words
            if words.strip() not in prompt and _escaped(words.strip()) not in prompt:
                raise Refused(f"the words of the {message['role']} before the answer are missing from its prompt")
        for tool in tools or ():
            name = tool.get("function", tool).get("name", "")
            if name not in prompt:
                raise Refused(f"it does not write tools: {name!r} is missing from the prompt")

    def _behind(self, rest: str, message: Message) -> int:
        """Where what the model says is over, its end aside: behind the last piece of the message."""
        place, first = 0, -1
        for piece in self._pieces(message):
            at, text = _find(rest, piece, place)
            if at < 0:
                raise Refused(f"{text[:40]!r} of the answer is not written as it stands")
            first = at if first < 0 else first
            place = at + len(text)
        if self.header and self.header in rest[: max(first, 0)]:
            raise Refused("it opens another turn before the answer")
        calls = message.get("tool_calls") or []
        return self._behind_calls(rest, place, calls) if calls else place

    def _pieces(self, message: Message) -> Iterator[tuple[str, ...]]:
        """What must stand in the answer, in order; each as one of several texts."""
        thought, words = self.form.split(message)
        if thought and not self.form.key:
            thought, words = "", inline_thought(thought, words)
        for text in (thought, words, *(call["name"] for call in message.get("tool_calls") or ())):
            if text.strip():
                yield text, text.strip("\n"), text.strip()

    def _behind_calls(self, rest: str, place: int, calls: list[Message]) -> int:
        """Behind the last argument of the calls; all arguments must be there, in any order."""
        start = rest.find(calls[0]["name"])
        for call in calls:
            for value in _leaves(call.get("arguments") or {}):
                where, text = _find(rest, (str(value), json.dumps(value), json.dumps(value, ensure_ascii=False)), start)
                if where < 0 and isinstance(value, str):
                    where, text = _find(rest, (_escaped(value), json.dumps(value)[1:-1]), start)
                if where < 0:
                    raise Refused(f"the argument {value!r} of a call is missing")
                place = max(place, where + len(text))
        ends = [at for s in self.form.stops if (at := rest.find(s, place)) >= 0]
        return min(ends, default=len(rest.rstrip()))

    def _end(self, tail: str, message: Message) -> str:
        """What ends the answer: all up to the first stop. Only stops and white space may follow."""
        stops = [(at, s) for s in self.form.stops if (at := tail.find(s)) >= 0]
        if not stops:
            opener = self.openers["tool" if message.get("tool_calls") else "user"]
            if not opener or tail.strip():
                raise Refused("nothing that ends an answer stands behind it")
            return tail.rstrip() + opener
        at, stop = min(stops, key=lambda pair: (pair[0], -len(pair[1])))
        left = tail[at + len(stop) :]
        for other in self.form.stops:
            left = left.replace(other, "")
        if left.strip():
            raise Refused(f"text follows the end of the answer: {left.strip()[:40]!r}")
        return tail[: at + len(stop)]


def _find(text: str, choices: tuple[str, ...], place: int) -> tuple[int, str]:
    """(place, text) of the first of the choices that stands in `text` at or behind `place`; (-1, the first)."""
    for choice in choices:
        at = text.find(choice, place)
        if at >= 0:
            return at, choice
    return -1, choices[0]


def _leaves(value: Any) -> Iterator[Any]:
    """The values of arguments that are not lists or objects themselves."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    elif value is not None and not isinstance(value, bool):
        yield value


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]
