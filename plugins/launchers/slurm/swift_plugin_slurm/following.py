"""A job that was submitted: its log as it grows, and how it ended."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from swift_core import SwiftError
from swift_core.contract.job import Job

POLL = 2.0
"""Seconds between two questions to Slurm."""

ENDED = frozenset(
    "BOOT_FAIL CANCELLED COMPLETED DEADLINE FAILED NODE_FAIL OUT_OF_MEMORY PREEMPTED REVOKED TIMEOUT".split()
)
"""States in which a job stays (squeue's manual, JOB STATE CODES)."""

PATIENCE = 30
"""How many questions in a row may stay without an answer: Slurm's controller may be busy, or be started anew."""


class State(NamedTuple):
    """name: in Slurm's words. code, number: exit code of the script, and the signal that ended it or 0."""

    name: str
    code: int
    number: int


def follow(job: Job, number: str, log: Path) -> int:
    """Show the log until the job has ended; returns its exit code, 128 + N where signal N ended it.

    Ctrl-C ends the following alone. Raises SwiftError where Slurm does not answer any more.
    """
    place, seen, unanswered = 0, "", 0
    try:
        while True:
            state = state_of(number)
            place = _show(log, place)
            unanswered = 0 if state else unanswered + 1
            if unanswered > PATIENCE:
                raise SwiftError(f"Slurm does not tell any more how job {number} is; its log is {log}.")
            if state and state.name != seen:
                job.say(f"Slurm job {number}: {state.name}")
                seen = state.name
            if state and state.name in ENDED:
                _show(log, place, whole=True)
                return exit_code(state)
            time.sleep(POLL)
    except KeyboardInterrupt:
        job.say(f"Slurm job {number} goes on; its log is {log}. To end it: scancel {number}")
        raise


def state_of(number: str) -> State | None:
    """The state of a job; None where Slurm does not answer. Of one that is long over its accounting is asked."""
    shown = _asked("scontrol", "show", "job", "--oneliner", number)
    if shown:
        found = dict(re.findall(r"\b(JobState|ExitCode)=(\S+)", shown))
        return _state(found.get("JobState", ""), found.get("ExitCode", "0:0"))
    name, _, code = _asked("sacct", "-X", "-n", "-P", "-j", number, "-o", "State,ExitCode").strip().partition("|")
    return _state(name.partition(" ")[0], code or "0:0") if name else None


def _state(name: str, code: str) -> State | None:
    before, _, after = code.partition(":")
    return State(name, int(before), int(after or 0)) if name else None


def _asked(*words: str) -> str:
    """What one of Slurm's programs answers; an empty text where it fails or is not there."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def exit_code(state: State) -> int:
    """The code with which `launch` ends: the script's own, or one for a job that Slurm ended."""
    if state.number:
        return 128 + state.number
    if state.code or state.name == "COMPLETED":
        return state.code
    return 128 + signal.SIGTERM if state.name in ("CANCELLED", "TIMEOUT", "PREEMPTED", "DEADLINE") else 1


def _show(log: Path, place: int, whole: bool = False) -> int:
    """Print what the log holds beyond `place`, by lines unless `whole`; returns where that ends."""
    if not log.is_file():
        return place
    with log.open("rb") as stream:
        stream.seek(place)
        text = stream.read()
    if not whole:
        text = text[: max(text.rfind(b"\n"), text.rfind(b"\r")) + 1]
    sys.stderr.write(text.decode(errors="replace"))
    sys.stderr.flush()
    return place + len(text)
