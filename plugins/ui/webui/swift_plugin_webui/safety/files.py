"""What of a job may be downloaded: log, curves, every file that it wrote, its newest checkpoint as an archive."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import Queue
from typing import Any

from swift_core import SwiftError
from swift_core.jobs.checkpoints import checkpoints
from swift_plugin_webui.jobs.record import LOG, YAML
from swift_plugin_webui.jobs.store import Job, Store

CURVES = "logging.jsonl"
CHECKPOINT = "checkpoint.tar"
MOST = 500
"""Files of a folder that are listed."""

RESULTS = ("*.json", "*.jsonl", "*.md", "*.csv", "*.png", "*.txt")
"""Files in a job's output that are offered beside its checkpoint."""


def offered(job: Job) -> list[str]:
    """Names of what a job has for download."""
    names = [name for name in (LOG, YAML) if (job.folder / name).is_file()]
    output = job.output
    if output is None or not output.exists():
        return names
    if output.is_file():
        return [*names, output.name]
    files = sorted({path.name for pattern in RESULTS for path in output.glob(pattern) if path.is_file()})
    return [*names, *files, *([CHECKPOINT] if checkpoints(output) else [])]


def below(job: Job) -> dict[str, int]:
    """Every file of a job's output, as a path within it, with its size in bytes; the first `MOST`, links left out."""
    output = job.output
    if output is None or not output.is_dir():
        return {}
    files: dict[str, int] = {}
    for place, folders, names in os.walk(output):
        folders.sort()
        plain = [path for name in sorted(names) if not (path := Path(place, name)).is_symlink() and path.is_file()]
        files |= {path.relative_to(output).as_posix(): path.stat().st_size for path in plain[: MOST - len(files)]}
        if len(files) >= MOST:
            break
    return files


def found(store: Store, name: str, what: str) -> Path:
    """The file, or for `checkpoint.tar` the folder, of what a job offers.

    Raises SwiftError for everything else, and where it lies outside the folders that are allowed.
    """
    job = store.find(name)
    if what not in (*offered(job), *below(job)):
        raise SwiftError(f"The job {name} offers no {what[:80]!r}.")
    output = job.output or job.folder
    if what == CHECKPOINT:
        return store.places.checked(checkpoints(output)[-1])
    if what in (LOG, YAML):
        return job.folder / what
    return store.places.checked(output if output.is_file() else output / what)


def archive(folder: Path) -> Iterator[bytes]:
    """A folder as a tar file, piece by piece; links are left out."""
    pieces: Queue[bytes | None] = Queue(maxsize=16)
    stop = threading.Event()

    class Pipe:
        def write(self, data: bytes) -> int:
            if stop.is_set():
                raise BrokenPipeError
            pieces.put(bytes(data))
            return len(data)

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        return info if info.isreg() or info.isdir() else None

    def work() -> None:
        try:
            stream: Any = Pipe()
            with tarfile.open(mode="w|", fileobj=stream) as tar:
                tar.add(folder, arcname=folder.name, filter=plain)
        except OSError:  # the reader left, or a file went away: what is cut off does not open as a whole archive
            pass
        finally:
            pieces.put(None)

    threading.Thread(target=work, daemon=True).start()
    try:
        while (piece := pieces.get()) is not None:
            yield piece
    finally:
        stop.set()
        while not pieces.empty():
            pieces.get_nowait()
