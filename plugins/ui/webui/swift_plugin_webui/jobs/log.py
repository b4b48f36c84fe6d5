"""What a job's log says: its last lines with bars collapsed, how far it is, why it failed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

TAIL = 1 << 18
"""Bytes of a log that are looked at, from its end."""

BAR = re.compile(r"\d+%\|.*?(\d+)/(\d+)\s*\[([\d:]+)<([\d:?]+)")
"""A progress bar of tqdm: done, all, time spent, time left."""

ADDRESS = re.compile(r"Serving on (https?://\S+)")


@dataclass(frozen=True)
class Progress:
    """How far a job is. left: time left as the bar says it; empty where it does not know."""

    done: int
    all: int
    left: str

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.done / self.all if self.all else 0.0


def tail(file: Path, lines: int = 300) -> list[str]:
    """The last lines of a log as a terminal would show them: of a bar that was drawn over and over, its last state."""
    return _collapsed(_text(file))[-lines:]


def _text(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            stream.seek(max(0, file.stat().st_size - TAIL))
            return stream.read().decode("utf-8", errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""


def _collapsed(text: str) -> list[str]:
    shown: list[str] = []
    for raw in text.rstrip("\n").split("\n"):
        line = next((part for part in reversed(raw.split("\r")) if part.strip()), "")
        line = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", line).rstrip()
        if shown and BAR.search(line) and BAR.search(shown[-1]) and _title(line) == _title(shown[-1]):
            shown[-1] = line
        elif line or (shown and shown[-1]):
            shown.append(line)
    return shown


def _title(line: str) -> str:
    return line.partition(":")[0] if ":" in line.partition("|")[0] else ""


def progress(file: Path) -> Progress | None:
    """How far the last bar in a log is; None where there is none."""
    found = None
    for found in BAR.finditer(_text(file)):  # noqa: B007
        pass
    if found is None:
        return None
    left = "" if "?" in found[4] else found[4]
    return Progress(int(found[1]), int(found[2]), left)


def address(file: Path) -> str:
    """Where a deployed model answers; empty as long as it does not."""
    found = ADDRESS.findall(_text(file))
    return found[-1].rstrip(".,") if found else ""


def reason(file: Path) -> str:
    """Why a job failed, in its own words: what follows `swift:`, else the last line of a traceback, else the last line.

    Empty for an empty log.
    """
    lines = [line for line in tail(file) if line.strip()]
    starts = [n for n, line in enumerate(lines) if line.startswith("swift: ")]
    if starts:
        return "\n".join(lines[starts[-1] :]).removeprefix("swift: ")
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception|Interrupt)\b", line)]
    return (errors or lines or [""])[-1]
