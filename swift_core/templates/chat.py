"""A checkpoint's own chat template: what it writes for a conversation, and in which form it takes one.

Templates differ in how they want a conversation: contents as text or as parts, thoughts under one of three keys or
inside the content, arguments of calls as objects or as JSON text. Each is found by rendering, never by reading Jinja.
"""

from __future__ import annotations

import copy
import datetime
import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.templates.thoughts import OPEN, inline_thought, split_thought

Message = dict[str, Any]
Render = Callable[..., str]
"""render(messages, tools, add_generation_prompt, **values): the text; raises what the chat template raises."""

THOUGHT_KEYS = ("reasoning_content", "thinking", "reasoning")
SWITCHES: tuple[dict[str, bool], ...] = (
    {},
    {"enable_thinking": True},
    {"enable_thinking": False},
    {"thinking": True},
    {"thinking": False},
)
"""What a server may pass to a chat template, and so which prompts a model may see."""

KEEP = ({"preserve_thinking": True}, {"truncate_history_thinking": False}, {"clear_thinking": False})
"""What makes some templates keep the thoughts of earlier answers."""

DAY = datetime.date(2024, 7, 26)
"""The day that templates write which ask for one: token ids must not change from one day to the next."""

DATE_MARK = "\ue000"
"""Stands for the day where two templates are compared."""

TOOL_NAME = "xlookupx"
TOOL = {
    "type": "function",
    "function": {
        "name": TOOL_NAME,
        "description": "Look up.",
        "parameters": {"type": "object", "properties": {"key": {"type": "string"}}, "required": ["key"]},
    },
}
CALL = {"name": TOOL_NAME, "arguments": {"key": "xvaluex"}}
QUESTION, ANSWER, THOUGHT = "xquestionx", "xanswerx", "xthoughtx"


class Refused(SwiftError):
    """The chat template does not write this conversation, or not soundly."""


class ChatForm:
    """A chat template that can be asked for texts and prompts.

    source: its Jinja text. stops: texts that end an answer, as generation_config and tokenizer name them.
    parts: it takes contents as lists of parts. key: the key of thoughts; `inline` where they stand in the content,
    empty where it knows none. opened: its prompt begins them. calls: (arguments as JSON text, empty words as None), or
    None where it writes no calls.
    """

    def __init__(self, source: str, render: Render, stops: Sequence[str]):
        self.source, self.stops = source, tuple(dict.fromkeys(s for s in stops if s))
        self._render = render
        self.values: dict[str, Any] = {"strftime_now": lambda form: DAY.strftime(form)}
        self.switches = [s for s in SWITCHES if self._names(s)]
        self.parts, self.key, self.opened = False, "", False
        self.calls: tuple[bool, bool] | None = (False, False)
        self.parts = self._takes_parts()
        self.key = self._thought_key()
        self.opened = (self._try(self.prompt, _round()[:1]) or "").rstrip().endswith(OPEN)
        self.calls = self._call_form()

    def __repr__(self) -> str:
        """The same for the same template in any process: caches of encoded rows are found by it."""
        return f"ChatForm({hashlib.sha256(self.source.encode()).hexdigest()}, {self.stops})"

    @property
    def dated(self) -> bool:
        """Whether it may write the day."""
        return "strftime_now" in self.source

    def clocks(self) -> list[ChatForm]:
        """Itself; of a template that writes the day, one that writes a mark for it, and one that leaves it out where
        it knows how to."""
        if not self.dated:
            return [self]
        from jinja2 import Undefined

        marked, undated = copy.copy(self), copy.copy(self)
        marked.values = {"strftime_now": lambda form: DATE_MARK}
        undated.values = {"strftime_now": Undefined()}
        return [marked, *([undated] if undated._try(undated.text, _round()) is not None else [])]

    @property
    def keeps(self) -> dict[str, bool]:
        """What to pass so that thoughts of earlier answers stay; {} where it knows no such switch."""
        return next((s for s in KEEP if self._names(s)), {})

    def text(self, messages: list[Message], tools: list[Any] | None = None, **switches: Any) -> str:
        """The finished conversation. Refused, with the template's own words, where it raises."""
        return self._write(messages, tools, False, switches)

    def prompt(self, messages: list[Message], tools: list[Any] | None = None, **switches: Any) -> str:
        """The conversation up to the answer to come."""
        return self._write(messages, tools, True, switches)

    def prompts(self, messages: list[Message], tools: list[Any] | None = None) -> list[str]:
        """The prompts that a server may send, over all switches of thinking: the default's first."""
        texts = [self._try(self.prompt, messages, tools, **switch) for switch in self.switches]
        return list(dict.fromkeys(p for p in texts if p is not None))

    def _write(self, messages: list[Message], tools: list[Any] | None, generation: bool, switches: Any) -> str:
        try:
            return self._render(
                self._given(messages), tools=tools or None, add_generation_prompt=generation, **self.values, **switches
            )
        except Exception as error:  # a chat template raises what it likes
            raise Refused(f"the checkpoint's chat template refuses it: {error or type(error).__name__}") from None

    def _try(self, write: Callable[..., str], *arguments: Any, **named: Any) -> str | None:
        try:
            return write(*arguments, **named)
        except Refused:
            return None

    def _names(self, switch: dict[str, bool]) -> bool:
        return all(re.search(rf"\b{name}\b", self.source) for name in switch)

    # -- the form in which it takes a conversation ---------------------------------------------------------
    def _takes_parts(self) -> bool:
        if QUESTION in (self._try(self.text, _round()) or ""):
            return False
        self.parts = True
        return QUESTION in (self._try(self.text, _round()) or "")

    def _thought_key(self) -> str:
        if "think" not in self.source and "reasoning" not in self.source:
            return ""
        for key in THOUGHT_KEYS:
            self.key = key
            if self._shows_thought():
                return key
        inside = re.search(r"</?think", self.source)
        return "inline" if inside else ""

    def _shows_thought(self) -> bool:
        text = self._try(self.text, _round(THOUGHT)) or ""
        return -1 < text.find(THOUGHT) < text.find(ANSWER)

    def _call_form(self) -> tuple[bool, bool] | None:
        messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
        for form in ((False, False), (False, True), (True, False), (True, True)):
            self.calls = form
            text = self._try(self.text, messages, [TOOL]) or ""
            said = text.rpartition(QUESTION)[2]
            if TOOL_NAME in said and "xvaluex" in said and "None" not in said:
                return form
        return None

    def _given(self, messages: list[Message]) -> list[Message]:
        """The messages as this template takes them."""
        given: list[Message] = []
        calls: list[Message] = []
        for message in messages:
            if message.get("tool_calls"):
                calls = [self._call(call, f"call{len(given)}x{n}") for n, call in enumerate(message["tool_calls"])]
                given.append(self._message(message, calls))
            elif message["role"] == "tool":
                given.append(self._result(message, calls.pop(0) if calls else None))
            else:
                given.append(self._message(message, []))
        return given

    def _message(self, message: Message, calls: list[Message]) -> Message:
        words, thought = message.get("content") or "", ""
        if message["role"] == "assistant":
            thought, words = self.split(message)
        if thought and self.key in ("", "inline"):
            words = inline_thought(thought, words)
        turn: Message = {"role": message["role"], "content": self._content(words)}
        if thought and self.key not in ("", "inline"):
            turn[self.key] = thought
        if calls:
            turn["tool_calls"] = list(calls)
            if not words and self.calls and self.calls[1]:
                turn["content"] = None
        return turn

    def split(self, message: Message) -> tuple[str, str]:
        """(thoughts, words) of an assistant's message; all is words where the template knows no thoughts."""
        words, thought = message.get("content") or "", message.get("reasoning_content") or ""
        return (thought, words) if thought or not self.key else split_thought(words, self.opened)

    def _content(self, words: str) -> Any:
        return [{"type": "text", "text": words}] if self.parts else words

    def _call(self, call: Message, number: str) -> Message:
        arguments = call.get("arguments") or {}
        if self.calls and self.calls[0]:
            arguments = json.dumps(arguments, ensure_ascii=False)
        return {"id": number, "type": "function", "function": {"name": call["name"], "arguments": arguments}}

    def _result(self, message: Message, call: Message | None) -> Message:
        turn = {"role": "tool", "content": self._content(message.get("content") or "")}
        return turn | ({"tool_call_id": call["id"], "name": call["function"]["name"]} if call else {})


def _round(thought: str = "") -> list[Message]:
    answer = {"role": "assistant", "content": ANSWER}
    return [{"role": "user", "content": QUESTION}, answer | ({"reasoning_content": thought} if thought else {})]
