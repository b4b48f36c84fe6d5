"""All jobs of a folder: start, find again, stop, resume, delete."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.job.specs import find_job
from swift_core.system import end_group, own_group
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.jobs import log
from swift_plugin_webui.jobs.record import (
    ENDED,
    EXIT,
    KEEPER,
    LOG,
    OF_ONE_ATTEMPT,
    PROCESS,
    STOPPING,
    YAML,
    Record,
    load,
    note_process,
    process_in,
    read_json,
    save,
    state_of,
)
from swift_plugin_webui.safety.paths import Places

WRITES = {
    **dict.fromkeys(("pt", "sft", "rlhf", "train", "eval"), ("output_dir", "output")),
    "infer": ("result_path", "result.jsonl"),
    "sample": ("output_file", "samples.jsonl"),
}
"""Job → the option that says where it writes, and what it is called in the job's folder unless the user says."""

GOES_ON: dict[str, dict[str, Any]] = {
    **{job: {"resume_from_checkpoint": "last"} for job in ("pt", "sft", "rlhf", "train")},
    "infer": {"resume": True},
    "sample": {},
}
"""Jobs that can go on where they were stopped → the options that make them."""

NAME = re.compile(r"[a-z-]+-\d{8}-\d{6}(-\d+)?")


@dataclass(frozen=True)
class Job:
    """One job as it stands now."""

    folder: Path
    record: Record
    state: str

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.record.name

    @property
    def ended(self) -> float | None:
        """When it ended, in seconds of the epoch."""
        return read_json(self.folder / EXIT).get("ended")

    @property
    def code(self) -> int | None:
        """Its exit code."""
        return read_json(self.folder / EXIT).get("code")

    @property
    def output(self) -> Path | None:
        """Where it writes: a folder or a file."""
        option = WRITES.get(self.record.job, ("output_dir", ""))[0]
        value = self.record.values.get(option)
        return Path(self.record.place, value) if value else None

    @property
    def resumable(self) -> bool:
        """Whether it is over, not done, and of a sort that can go on."""
        return self.state in ("stopped", "failed", "lost") and self.record.job in GOES_ON


class Store:
    """The jobs below one folder.

    folder: where their folders are. places: the folders that jobs may touch.
    """

    def __init__(self, folder: str | Path, places: Places):
        self.folder, self.places = Path(folder).resolve(), places
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = threading.Lock()
        self.keepers: list[subprocess.Popen[bytes]] = []

    def start(self, written: WrittenJob, waits: bool = False) -> Job:
        """Start a job, or queue it behind those that hold its devices.

        Raises SwiftError for a job that is not known, and for a value that names a place outside the folders allowed.
        """
        find_job(written.job)
        self.places.check_values(written.values)
        with self.lock:
            folder = self._made(written.job)
        values = dict(written.values)
        option, name = WRITES.get(written.job, ("", ""))
        if option and not values.get(option):
            values[option] = shown(folder / name)
        whole = WrittenJob(written.job, values, written.secrets)
        (folder / YAML).write_text(whole.as_yaml(), encoding="utf-8")
        names = sorted(written.secrets)
        asked = (folder.name, written.job, whole.words(), values, names, written.devices, waits, time.time())
        record = Record(*asked, place=os.getcwd())
        save(folder, record)
        (folder / LOG).touch()
        self._keep(folder, written.secrets)
        return self.find(folder.name)

    def _made(self, job: str) -> Path:
        """A folder that nobody had before."""
        self.folder.mkdir(parents=True, exist_ok=True)  # somebody may have deleted it
        stem, number = f"{job}-{time.strftime('%Y%m%d-%H%M%S')}", 1
        while True:
            folder = self.folder / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                number += 1

    def _keep(self, folder: Path, secrets: dict[str, str]) -> None:
        if secrets and not os.path.exists("/dev/fd"):
            raise SwiftError("Secrets reach a job through /dev/fd, which this system lacks: set them as variables.")
        command = [sys.executable, "-m", "swift_plugin_webui.jobs.keeper", str(folder)]
        with (folder / LOG).open("ab") as log:
            keeper = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=log, **own_group()
            )
        note_process(folder / KEEPER, keeper.pid)
        assert keeper.stdin is not None
        with keeper.stdin as stream:
            stream.write(json.dumps(secrets).encode())
        self.keepers.append(keeper)

    def all(self) -> list[Job]:
        """Every job, the youngest first."""
        self.keepers = [keeper for keeper in self.keepers if keeper.poll() is None]  # ended children are no longer kept
        there = self.folder.iterdir() if self.folder.is_dir() else ()
        folders = [path for path in there if NAME.fullmatch(path.name) and path.is_dir()]
        found = [(path, load(path)) for path in folders]
        jobs = [Job(path, record, state_of(path)) for path, record in found if record is not None]
        return sorted(jobs, key=lambda job: (job.record.created, job.name), reverse=True)

    def find(self, name: str) -> Job:
        """The job of a name. Raises SwiftError where there is none."""
        folder = self.folder / name
        record = load(folder) if NAME.fullmatch(name) else None
        if record is None:
            raise SwiftError(f"There is no job {name[:80]!r} here.")
        for keeper in self.keepers:
            keeper.poll()
        return Job(folder, record, state_of(folder))

    def stop(self, name: str) -> Job:
        """Ask a job to end: a trainer finishes its step and saves. Asked again, it ends at once, and saves nothing."""
        job = self.find(name)
        if job.state in ENDED:
            return job
        again = job.state == "stopping"
        (job.folder / STOPPING).touch()
        process, keeper = process_in(job.folder / PROCESS), process_in(job.folder / KEEPER)
        if process is not None:
            end_group(process.pid, at_once=again)
        elif keeper is not None:
            keeper.terminate()
        return self.find(name)

    def resume(self, name: str, secrets: dict[str, str] | None = None) -> Job:
        """Go on with a job where it was stopped, in the same folder. secrets: again, since nobody kept them.

        Raises SwiftError where the job still runs, is done, or is of a sort that cannot go on.
        """
        job = self.find(name)
        if not job.resumable:
            raise SwiftError(f"{name} is {job.state}: only training, inference and sampling that ended early go on.")
        missing = sorted({*job.record.secrets} - {*(secrets or {})})
        if missing:
            raise SwiftError(f"Type --{missing[0]} again: it was used to start {name}, and secrets are not kept.")
        record = job.record
        record.values |= self._going_on(job)
        record.words = WrittenJob(record.job, record.values).words()
        record.attempts += 1
        save(job.folder, record)
        for file in OF_ONE_ATTEMPT:
            (job.folder / file).unlink(missing_ok=True)
        with (job.folder / LOG).open("a", encoding="utf-8") as log:
            log.write(f"\n— attempt {record.attempts}, {time.strftime('%Y-%m-%d %H:%M:%S')} —\n")
        self._keep(job.folder, secrets or {})
        return self.find(name)

    def _going_on(self, job: Job) -> dict[str, Any]:
        """The options of a resume; a training that has no checkpoint yet begins anew."""
        if "resume_from_checkpoint" not in GOES_ON[job.record.job]:
            return dict(GOES_ON[job.record.job])
        there = job.output is not None and any(job.output.glob("checkpoint-*/trainer_state.json"))
        return dict(GOES_ON[job.record.job]) if there else {}

    def delete(self, name: str) -> None:
        """Delete a job's folder with all it wrote there. Raises SwiftError while it runs."""
        job = self.find(name)
        if job.state not in ENDED:
            raise SwiftError(f"{name} is {job.state}: stop it first.")
        shutil.rmtree(job.folder)


def why(job: Job) -> str:
    """Why a job came to no good end, in a sentence or its own words; empty where it did, or is not over."""
    if job.state == "lost":
        return "Nobody saw how it ended: its processes are gone. Perhaps they were killed, or the machine started anew."
    if job.state != "failed":
        return ""
    killed = f"It was ended from outside by signal {-job.code}." if job.code is not None and job.code < 0 else ""
    memory = " The system does that to programs when memory runs out." if job.code == -signal.SIGKILL else ""
    return killed + memory or log.reason(job.folder / LOG)


def shown(path: Path) -> str:
    """A path below the working folder by its shorter name."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
