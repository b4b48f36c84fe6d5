"""How an isolated environment is made: the user's consent, uv with its progress, and what is said when uv fails."""

from __future__ import annotations

import os
import queue
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from swift_core.contract.errors import SwiftError
from swift_core.system import end_group, own_group

CONSENT = "SWIFT_YES"
"""The variable that answers the question: 1 is yes, 0 is no."""

QUIET = 15.0
"""Seconds without a word from uv after which the elapsed time is told."""

PROGRESS = ("Resolved", "Download", "Buil", "Prepared", "Installed", "Uninstalled", "Bytecode", "warning")
"""How the lines of uv begin that are told while it works. What fails is told at the end."""

Lines = queue.SimpleQueue[str | None]
Tell = Callable[[str], None]


class Failed(Exception):
    """uv failed. printed: all its lines. code: its exit code."""

    def __init__(self, printed: list[str], code: int):
        super().__init__(printed, code)
        self.printed, self.code = printed, code


def uv_program() -> str:
    """The path of uv: beside this interpreter, or else on the path. Raises SwiftError where there is none."""
    beside = Path(sys.executable).with_name("uv")
    found = str(beside) if beside.exists() else shutil.which("uv")
    if not found:
        raise SwiftError("Isolated environments are made with uv: pip install uv")
    return found


def ask(name: str, what: str, place: Path) -> None:
    """Tell what would be made, and ask at a terminal. what: packages and size.

    Elsewhere nobody can answer, and a job that names the component has asked for it: it goes on. Raises SwiftError
    where the answer is no.
    """
    told = f"{name} needs an isolated environment: {what}, once, in {place}."
    answer = os.environ.get(CONSENT, "")
    if answer not in ("", "0", "1"):
        raise SwiftError(f"{CONSENT} is 1 (yes) or 0 (no), not {answer!r}.")
    say(told)
    if not answer and sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
        answer = _asked()
    if answer == "0":
        raise SwiftError(f"The environment of {name!r} is not made: you said no. Later: swift env create {name} --yes")


def _asked() -> str:
    """The typed answer: 1 is yes, 0 is everything else, also the end of the input."""
    say("Make it now? [y/N] (--yes or SWIFT_YES=1 answers this) ", end="")
    return "1" if sys.stdin.readline().strip().lower() in ("y", "yes") else "0"


def say(text: str, end: str = "\n") -> None:
    """Text for the user, on standard error."""
    print(text, file=sys.stderr, flush=True, end=end)


def uv(name: str, words: list[str], kept_open: int) -> None:
    """Run `uv WORDS` and tell its progress. kept_open: a descriptor that it inherits. Raises Failed where uv fails."""
    printed: list[str] = []
    with _running(words, kept_open) as process, _progress(name) as tell:
        lines: Lines = queue.SimpleQueue()
        assert process.stdout is not None
        threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
        for line in _until_end(lines):
            printed += [line] if line else []
            if not line or line.lstrip().startswith(PROGRESS):
                tell(line)
        code = process.wait()
    if code:
        raise Failed(printed, code)


@contextmanager
def _running(words: list[str], kept_open: int) -> Iterator[subprocess.Popen[str]]:
    """uv in a process group of its own, which ends with this block."""
    variables = dict(os.environ)
    if variables.get("PIP_FIND_LINKS"):
        variables.setdefault("UV_FIND_LINKS", variables["PIP_FIND_LINKS"])
    process = subprocess.Popen(
        [uv_program(), "--color", "never", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=variables,
        pass_fds=(kept_open,),
        **own_group(),
    )
    try:
        yield process
    finally:
        end_group(process.pid, at_once=True)  # also the build processes that uv has started
        process.wait()


def _pump(stream: IO[str], lines: Lines) -> None:
    """Pass on each line that holds something, and None at the end."""
    for line in stream:
        if line.strip():
            lines.put(line.rstrip())
    lines.put(None)


def _until_end(lines: Lines) -> Iterator[str]:
    """The lines as they come; an empty one where uv was quiet for a while."""
    while True:
        try:
            line = lines.get(timeout=QUIET)
        except queue.Empty:
            line = ""
        if line is None:
            return
        yield line


@contextmanager
def _progress(name: str) -> Iterator[Tell]:
    """A function that tells the last line of uv and the elapsed time: in place at a terminal, else line by line."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield _told_in_lines(name)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(f"{name}: starting uv")
        yield lambda line: bar.update(task, description=f"{name}: {line.strip()}") if line else None


def _told_in_lines(name: str) -> Tell:
    """Tells each line of uv, and where it is quiet the last one again with the elapsed seconds."""
    start, last = time.monotonic(), ["starting uv"]

    def tell(line: str) -> None:
        """Print a line; an empty one stands for a quiet while."""
        last[0] = line.strip() or last[0]
        after = "" if line else f" ({time.monotonic() - start:.0f} s)"
        say(f"{name}: {last[0]}{after}")

    return tell
