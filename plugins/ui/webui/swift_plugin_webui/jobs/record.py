"""What is known of one job: files in its folder, and processes that may still live.

job.json      what was asked: command, options, devices; no secret
job.yaml      the options as a job file
log.txt       everything the job printed
keeper.json   the process that starts the job and notes how it ends
process.json  the job's own process
stopping      there once somebody asked it to stop
exit.json     exit code and time of its end
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

JOB, YAML, LOG = "job.json", "job.yaml", "log.txt"
KEEPER, PROCESS, STOPPING, EXIT = "keeper.json", "process.json", "stopping", "exit.json"
OF_ONE_ATTEMPT = (KEEPER, PROCESS, STOPPING, EXIT)

ENDED = ("done", "failed", "stopped", "lost")
"""States of a job that no process works on."""

BY_SIGNAL = (130, 143, -2, -15, -9)
"""Exit codes of a job that a signal ended: 128 + number where the job itself says so, else minus the number."""


@dataclass
class Record:
    """What was asked.

    job: `sft`, `deploy` …; words: its command line behind `swift`. values: options by name, without secrets, of which
    `secrets` are the names. devices: GPUs by number, none: all, or the CPU. waits: whether it waits for them.
    place: the folder that it works in, from which relative paths start.
    """

    name: str
    job: str
    words: list[str]
    values: dict[str, Any] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)
    devices: list[str] = field(default_factory=list)
    waits: bool = False
    created: float = 0.0
    attempts: int = 1
    place: str = "."


def write_json(file: Path, value: Any) -> None:
    """Write a file whole or not at all."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    beside.replace(file)


def read_json(file: Path) -> dict[str, Any]:
    """The object in a file; {} where there is none that can be read."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def save(folder: Path, record: Record) -> None:
    """Write the record of a job."""
    write_json(folder / JOB, asdict(record))


def load(folder: Path) -> Record | None:
    """The record in a folder; None where there is none that this version reads."""
    try:
        return Record(**read_json(folder / JOB))
    except TypeError:
        return None


def note_process(file: Path, pid: int) -> None:
    """Note a living process so that it is known again: numbers come back, number and start time do not."""
    write_json(file, {"pid": pid, "started": psutil.Process(pid).create_time()})


def process_in(file: Path) -> psutil.Process | None:
    """The process that a file names, if that very one still lives."""
    said = read_json(file)
    try:
        process = psutil.Process(int(said["pid"]))
        same = abs(process.create_time() - float(said["started"])) < 0.5
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, ValueError, TypeError, psutil.Error):
        return None


def state_of(folder: Path) -> str:
    """queued, running, stopping; or one of `ENDED`: `lost` where nobody noted how it ended."""
    if not (folder / EXIT).exists():
        working = process_in(folder / PROCESS) is not None
        if working or process_in(folder / KEEPER) is not None:
            return _under_way(folder, working)
    end = read_json(folder / EXIT)  # it may have come while processes were looked for
    if "code" not in end:  # stopped before anybody was there to note it, or killed from outside
        return "stopped" if (folder / STOPPING).exists() and not (folder / PROCESS).exists() else "lost"
    if end["code"] == 0:
        return "done"
    return "stopped" if (folder / STOPPING).exists() and end["code"] in BY_SIGNAL else "failed"


def _under_way(folder: Path, working: bool) -> str:
    if (folder / STOPPING).exists():
        return "stopping"
    return "running" if working or (folder / PROCESS).exists() else "queued"
