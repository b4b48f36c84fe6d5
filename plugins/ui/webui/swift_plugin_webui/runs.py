"""Jobs in the background: each a process group of its own with a folder for its log."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.job.specs import find_job


@dataclass
class Run:
    """One started job. words: its command line behind `swift`. output: where a training job writes."""

    name: str
    words: list[str]
    folder: Path
    process: subprocess.Popen[bytes]
    output: Path | None

    def describe(self) -> dict[str, Any]:
        """State, command, the end of the log, and every metric that training has logged so far."""
        code = self.process.poll()
        state = "running" if code is None else "done" if code == 0 else f"ended with exit code {code}"
        log = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace")
        shown = [line.rsplit("\r", 1)[-1] for line in log.split("\n")][-200:]
        command = "swift " + shlex.join(self.words)
        return {"name": self.name, "state": state, "command": command, "log": "\n".join(shown), "series": self.series()}

    def series(self) -> dict[str, list[list[float]]]:
        """Metric → [step, value] pairs from the job's logging.jsonl (loss, rewards/margins, logps …)."""
        file = self.output / "logging.jsonl" if self.output else None
        series: dict[str, list[list[float]]] = {}
        if file is not None and file.is_file():
            for text in file.read_text(encoding="utf-8").splitlines():
                line = json.loads(text)
                for name, value in line.items():
                    if name not in ("step", "epoch", "seconds") and isinstance(value, int | float):
                        series.setdefault(name, []).append([line["step"], value])
        return {name: points for name, points in series.items() if len(points) > 1}

    def stop(self) -> None:
        """Ask the whole process group to end."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)


class Runs:
    """All jobs that this page has started."""

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.started: dict[str, Run] = {}

    def start(self, job: str, options: dict[str, str]) -> Run:
        """Start `swift JOB --option value …`; empty values are left out."""
        find_job(job)
        name = f"{job}-{time.strftime('%Y%m%d-%H%M%S')}-{len(self.started)}"
        place = self.folder / name
        place.mkdir(parents=True)
        wanted = {k: v for k, v in options.items() if v.strip()}
        if job in ("pt", "sft", "rlhf", "train"):
            wanted.setdefault("output_dir", str(place / "output"))
        words = [job, *(word for k, v in wanted.items() for word in (f"--{k}", *shlex.split(v)))]
        with (place / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "swift_core", *words], stdout=log, stderr=log, start_new_session=True
            )
        output = Path(wanted["output_dir"]) if "output_dir" in wanted else None
        self.started[name] = Run(name, words, place, process, output)
        return self.started[name]

    def find(self, name: str) -> Run:
        """A started job; SwiftError where there is none of that name."""
        if name not in self.started:
            raise SwiftError(f"There is no job {name!r} here.")
        return self.started[name]

    def stop_all(self) -> None:
        """End every job that still runs; for the server's own end."""
        for run in self.started.values():
            run.stop()
