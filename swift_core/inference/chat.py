"""The chat at the terminal: one conversation with an engine, with commands that begin with a slash."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_core.contract.engine import Engine, Request, Sampling
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.row import Row

WELCOME = "ask away. /help lists the commands; Ctrl-C stops an answer, Ctrl-D or exit ends."

STOPPED = " [stopped]"


def chat(engine: Engine, adapter: str | None, how: Sampling) -> None:
    """A conversation over standard input and output until `exit` or the end of the input; a line is a question.

    adapter: who answers; None: the base model. how: the answers are drawn.
    """
    if sys.stdin.isatty():
        with contextlib.suppress(ImportError):  # Windows has none
            import readline  # noqa: F401  # `input` then edits lines and remembers them
        print(f"{engine.models[-1]}: {WELCOME}")
    conversation = Conversation(engine, how, adapter)
    while (line := _next_line()) is not None:
        try:
            conversation.take(line)
        except SwiftError as error:
            print(error, file=sys.stderr)
        except KeyboardInterrupt:  # while a picture was asked for
            print()
        except EOFError:
            return


def _next_line() -> str | None:
    """The next line, which may be empty; None at the end. Ctrl-C drops what was typed."""
    try:
        line = _prompted(">>> ").strip()
    except EOFError:
        return None
    except KeyboardInterrupt:
        print()
        return ""
    return None if line in ("exit", "quit", "/exit", "/quit") else line


def _prompted(prompt: str) -> str:
    return input(prompt if sys.stdin.isatty() else "")


class Conversation:
    """What was said so far, and the commands that change it."""

    def __init__(self, engine: Engine, drawn: Any, adapter: str | None):
        self.engine, self.drawn, self.adapter = engine, drawn, adapter
        self.system: str | None = None
        self.messages: list[dict[str, Any]] = []
        self.images: list[str] = []
        self.waiting: list[str] = []
        self.commands: dict[str, tuple[str, Callable[[str], None]]] = {
            "/system": ("/system TEXT  the system text from now on; without TEXT the job's own", self._set_system),
            "/clear": ("/clear        begin anew; the system text stays", self._clear),
            "/image": ("/image PATH   show a picture with the next question", self._show),
            "/help": ("/help         this list", self._help),
        }

    def take(self, line: str) -> None:
        """Do what a line says: a command, or a question to answer. Raises SwiftError where it cannot be done."""
        word, _, rest = line.partition(" ")
        if line in ("clear", "reset"):
            self._clear("")
        elif word in self.commands:
            self.commands[word][1](rest.strip())
        elif re.fullmatch("/[a-z]+", word):
            raise SwiftError(f"There is no command {word}.{did_you_mean(word, self.commands)} /help lists them.")
        elif line:
            self._ask(line)

    def _set_system(self, text: str) -> None:
        self.system = text or None

    def _clear(self, _: str) -> None:
        self.messages, self.images, self.waiting = [], [], []

    def _show(self, path: str) -> None:
        file = Path(path).expanduser()
        if "://" not in path and not file.is_file():
            raise SwiftError(f"There is no file {path!r}: say /image PATH.")
        self.waiting.append(path if "://" in path else str(file))

    def _help(self, _: str) -> None:
        print("\n".join(text for text, _ in self.commands.values()))
        print("exit          end (Ctrl-D, too)\n<image> in a question asks where its picture is.")

    def _ask(self, text: str) -> None:
        """Print the answer as it comes, and remember both; of an answer that was stopped, what there is."""
        shown = [*self.waiting, *(_prompted("image: ") for _ in range(text.count("<image>")))]
        question = {"role": "user", "content": "<image>" * len(self.waiting) + text}
        self.waiting = []
        asked, images = [*self.messages, question], [*self.images, *shown]
        before = [{"role": "system", "content": self.system}] if self.system else []
        row = Row([*before, *asked], images=images, where="chat")
        answer = self._answer(Request(row, self.drawn, self.adapter))
        if answer:  # an empty answer cannot be part of a conversation
            self.messages, self.images = [*asked, {"role": "assistant", "content": answer}], images

    def _answer(self, request: Request) -> str:
        stream, said = self.engine.stream(request), ""
        try:
            while True:
                piece = next(stream)
                said += piece
                print(piece, end="", flush=True)
        except StopIteration as stop:
            print(flush=True)
            return str(stop.value.text)
        except KeyboardInterrupt:
            stream.close()
            print(STOPPED, flush=True)
            return said
