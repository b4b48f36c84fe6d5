"""The process between the Web-UI and a job: waits for devices, starts the job, notes how it ended.

    python -m swift_plugin_webui.jobs.keeper FOLDER   (secrets as a JSON object on standard input)

It leads a session of its own, so a job outlives the server that asked for it. Secrets reach the job through a pipe:
they stand on no command line, in no file and in no log.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from swift_core.system import end_group, own_group
from swift_plugin_webui.jobs.record import (
    ENDED,
    EXIT,
    LOG,
    PROCESS,
    STOPPING,
    Record,
    load,
    note_process,
    state_of,
    write_json,
)

PAUSE = 0.3
"""Seconds between two looks at whether the devices are free."""


def main(folder: Path, secrets: dict[str, str]) -> None:
    """Keep one job from its start to its end."""
    record = load(folder)
    if record is None:
        return
    keeper = Keeper(folder, record)
    signal.signal(signal.SIGTERM, keeper.stop)
    code = keeper.run(secrets)
    write_json(folder / EXIT, {"code": code, "ended": time.time()})


class Keeper:
    """Starts a job and waits for it; passes on the signal that asks it to stop."""

    def __init__(self, folder: Path, record: Record):
        self.folder, self.record = folder, record
        self.process: subprocess.Popen[bytes] | None = None

    def stop(self, *_: Any) -> None:
        """Ask the job to end; it saves what it has. A job that has not begun does not begin."""
        (self.folder / STOPPING).touch()
        if self.process is not None:
            end_group(self.process.pid)

    def run(self, secrets: dict[str, str]) -> int:
        """The job's exit code; that of SIGTERM where it was stopped before it began."""
        while self.record.waits and ahead(self.folder, self.record):
            time.sleep(PAUSE)
            if (self.folder / STOPPING).exists():
                break
        if (self.folder / STOPPING).exists():
            return -signal.SIGTERM
        with (self.folder / LOG).open("ab") as log:
            self.process = _started(self.record, secrets, log)
            note_process(self.folder / PROCESS, self.process.pid)
            if (self.folder / STOPPING).exists():  # asked while the process began
                end_group(self.process.pid)
            return self.process.wait()


def ahead(folder: Path, record: Record) -> list[str]:
    """Names of the jobs that came earlier, are not over, and hold a device that this one waits for."""
    others = [(path, load(path)) for path in folder.parent.iterdir() if path != folder and path.is_dir()]
    return [
        other.name
        for path, other in others
        if other is not None and _before(other, record) and _share(other, record) and state_of(path) not in ENDED
    ]


def _before(other: Record, mine: Record) -> bool:
    return (other.created, other.name) < (mine.created, mine.name)


def _share(other: Record, mine: Record) -> bool:
    """Whether two jobs use one GPU; a job without a choice takes all of them."""
    return not other.devices or not mine.devices or bool({*other.devices} & {*mine.devices})


def _started(record: Record, secrets: dict[str, str], log: Any) -> subprocess.Popen[bytes]:
    command, inherited = [sys.executable, "-m", "swift_core", *record.words], list[int]()
    if secrets:
        inherited = [_pipe(json.dumps(secrets))]
        command += ["--config", f"/dev/fd/{inherited[0]}"]
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(record),
            cwd=record.place,
            pass_fds=inherited,
            **own_group(),
        )
    finally:
        for descriptor in inherited:
            os.close(descriptor)


def _pipe(text: str) -> int:
    """The end of a pipe from which a short text is read."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w", encoding="utf-8") as stream:
        stream.write(text)
    return reading


def _environment(record: Record) -> dict[str, str]:
    chosen = {"CUDA_VISIBLE_DEVICES": ",".join(record.devices)} if record.devices else {}
    return {**os.environ, "PYTHONUNBUFFERED": "1", **chosen}


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.stdin.read() or "{}"))
