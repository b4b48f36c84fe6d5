"""Thoughts apart from words: `reasoning_content`, by the marks of the model's own template."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Engine, Reply, Request
from swift_core.templates.declaration import wanted_thoughts

Piece = tuple[str, str]
"""("thought" or "text", the words)."""


@dataclass(frozen=True)
class Marks:
    """Between which words a family thinks, and whether its prompts open the thoughts already."""

    opens: str
    closes: str
    opened: bool

    def splitter(self) -> Splitter:
        """One for an answer."""
        return Splitter(self)

    def apart(self, reply: Reply) -> Reply:
        """The reply with its thoughts by themselves."""
        splitter = self.splitter()
        pieces = [*splitter.add(reply.content), *splitter.end()]
        thought, words = ("".join(text for kind, text in pieces if kind == wanted) for wanted in ("thought", "text"))
        if reply.calls:
            return dataclasses.replace(reply, thought=thought, content=words)
        return dataclasses.replace(reply, thought=thought, text=words)


def marks_of(engine: Engine, request: Request) -> Marks | None:
    """The marks in the answer to a request; None where the template knows no thoughts, or the prompt is not its own."""
    job: Any = declared(engine, EngineTraits, "job")
    template = job.one("template") if job is not None else None
    if template is None or template.thinking is None or not request.row.messages:
        return None
    wanted = wanted_thoughts(job.options, request.row.thinking)
    opens, _, closes = (part.strip() for part in template.thinking.write.partition("{thought}"))
    opened = template.thinks(wanted) and bool(opens) and opens in template.prompt_on
    return Marks(opens, closes, opened) if opens and closes else None


class Splitter:
    """Takes an answer apart while it comes. White space around thoughts belongs to nobody."""

    def __init__(self, marks: Marks):
        self.marks, self.state, self.held = marks, "thought" if marks.opened else "start", ""
        self.began = False

    def add(self, text: str) -> list[Piece]:
        """What is certain after a further piece."""
        self.held += text
        pieces: list[Piece] = []
        while (piece := self._next()) is not None:
            pieces += [piece] if piece[1] else []
        return pieces

    def end(self) -> list[Piece]:
        """What is left when the answer has ended."""
        kind = "thought" if self.state == "thought" else "text"
        rest = self.held.strip() if kind == "thought" else self._begun(self.held)
        self.held = ""
        return [(kind, rest)] if rest else []

    def _next(self) -> Piece | None:
        """The next piece that is certain, which may be empty; None where more must come first."""
        if self.state == "start":
            return self._start()
        if self.state == "thought":
            return self._thought()
        text, self.held = self._begun(self.held), ""
        return ("text", text) if text else None

    def _start(self) -> Piece | None:
        said, opens = self.held.lstrip(), self.marks.opens
        if said.startswith(opens):
            self.state, self.held = "thought", said[len(opens) :]
            return "thought", ""
        if opens.startswith(said):
            return None
        self.state, self.began = "text", True
        return "text", ""

    def _thought(self) -> Piece | None:
        closes = self.marks.closes
        said, end, rest = self.held.partition(closes)
        if end:
            self.state, self.held = "text", rest
            return "thought", (said if self.began else said.lstrip()).rstrip() + self._reset()
        keep = max((n for n in range(len(closes)) if said.endswith(closes[:n])), default=0)
        sure = said[: len(said) - keep].rstrip()
        if not sure.strip():
            return None
        self.held = said[len(sure) :]
        text, self.began = (sure if self.began else sure.lstrip()), True
        return "thought", text

    def _reset(self) -> str:
        self.began = False
        return ""

    def _begun(self, text: str) -> str:
        """Text without the white space before its first word."""
        text = text if self.began else text.lstrip()
        self.began |= bool(text)
        return text
