"""From a row to turns of plain text: boxes, media, tools, calls and results written out."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import Agent, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.boxes import PLACEHOLDER, share_objects
from swift_core.templates.declaration import Template
from swift_core.templates.thoughts import inline_thought, split_thought

if TYPE_CHECKING:
    from swift_core.contract.job import Job

COUNTED = re.compile(r"\{(n|path|([^{}]+)\*(\d+))\}")


@dataclass(slots=True)
class Turn:
    """One turn as text. thought: what an answer thinks before it, apart from `text` where the template knows thoughts.

    inline: tool results that go on inside the assistant's turn.

    calls: the calls that it makes; written: their text, which follows `text`. beside: it stands behind the
    answer and not in it.
    loss: the row's own word on whether it is trained. scale: the row's own weight.
    """

    role: str
    text: str
    thought: str = ""
    inline: bool = False
    calls: Sequence[dict[str, Any]] = ()
    written: str = ""
    beside: bool = False
    loss: bool | None = None
    scale: float = 1.0


def turns_of(job: Job, row: Row, template: Template) -> list[Turn]:
    """The row's messages in order, consecutive tool results as one turn."""
    messages = _with_tools(job, row, template, with_content_written(job, row, template))
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
            turns.append(_turn(job, message, template))
    return turns


def with_content_written(job: Job, row: Row, template: Template) -> list[dict[str, Any]]:
    """The messages with boxes and media written into their contents; tools and calls never hold any."""
    if not row.objects and not row.media:
        return row.messages
    contents = _write_boxes(job, row, [m.get("content") or "" for m in row.messages])
    for name, files in row.media.items():
        write = _writer(template.media.get(name, f"<{name}>"), files)
        contents = [re.sub(f"<{name}>", write, text) for text in contents]
    return [{**m, "content": text} for m, text in zip(row.messages, contents, strict=True)]


def _writer(written: str, files: list[Any]) -> Callable[[re.Match[str]], str]:
    """What stands for each medium in turn: its number, its file and repeated tokens filled in."""
    numbers: Iterator[int] = count(1)

    def write(_: re.Match[str]) -> str:
        number = next(numbers)
        facts = {"n": str(number), "path": str(files[number - 1])}
        return COUNTED.sub(lambda m: m[2] * int(m[3]) if m[2] else facts[m[1]], written)

    return write


def _write_boxes(job: Job, row: Row, contents: list[str]) -> list[str]:
    if not row.objects:
        return contents
    shares = share_objects(row, contents)
    return [
        job.hook.write_boxes(job=job, text=text, row=share) if PLACEHOLDER.search(text) else text
        for text, share in zip(contents, shares, strict=True)
    ]


def _with_tools(job: Job, row: Row, template: Template, messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if not row.tools:
        return messages
    has_system = messages[0]["role"] == "system"
    system = messages[0]["content"] if has_system else template.default_system
    system = system.strip() if system and "system" in template.trim else system
    text = job.hook.write_tools(job=job, tools=row.tools, system=system or "")
    if text is None:
        raise SwiftError(
            f"{row.where}: the row has tools, and the agent format {template.agent!r}, which the template "
            f"{template.name!r} names, is not installed. Install it, or say --agent NAME (`swift list agents`)."
        )
    return [{"role": "system", "content": text}, *messages[has_system:]]


def own_tools(job: Job, row: Row, template: Template) -> bool:
    """Whether the conversation opens with the template's `tools`, which belongs to its own agent format."""
    return bool(row.tools and template.tools) and any(c.entry.name == template.agent for c in job.many("agent"))


def _turn(job: Job, message: dict[str, Any], template: Template) -> Turn:
    calls = message.get("tool_calls")
    thought, words = _thought(message, template)
    words = words.strip() if calls and "assistant" in template.trim else words
    text = words if template.thinking else inline_thought(thought, words)
    turn = Turn(message["role"], text, thought, loss=message.get("loss"), scale=message.get("loss_scale", 1.0))
    if calls:
        turn.calls, agent = calls, job.one("agent")
        gap = declared(agent, Agent, "before_calls")
        between = gap if words and not words.endswith(gap) else ""
        turn.written, turn.beside = (
            between + job.hook.write_calls(job=job, calls=calls),
            declared(agent, Agent, "beside"),
        )
    return turn


def _thought(message: dict[str, Any], template: Template) -> tuple[str, str]:
    """(thoughts, words) of a message; those in an answer's text stay there where the template knows none."""
    words, thought = message.get("content") or "", message.get("reasoning_content") or ""
    if template.thinking is None or message["role"] != "assistant":
        return thought, words
    if thought:
        return thought.strip("\n"), words.lstrip("\n")
    return split_thought(words, opened="<think>" in template.thinking.on)


def _add_results(job: Job, turns: list[Turn], results: list[str]) -> None:
    asked = list(turns[-1].calls) if turns and turns[-1].role == "assistant" else []
    text, inline = job.hook.write_results(job=job, results=results, calls=asked)
    if inline and turns and turns[-1].role == "assistant":
        turns[-1].inline = True
    turns.append(Turn("tool", text, inline=inline))
