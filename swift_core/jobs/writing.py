"""Writing an export: into a folder beside its place, and put there when it is whole."""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from swift_core.contract.errors import SwiftError
from swift_core.job.lockfile import LOCK_FILE, read_json
from swift_core.job.specs import JOBS

if TYPE_CHECKING:
    from swift_core.contract.job import Job

WRITTEN = "folders written"
"""In the memo of an export: exporter's name → folder, of the exporters that have run so far."""


@dataclasses.dataclass(frozen=True)
class Place:
    """Where an export is written. staging: the folder to fill. final: where it stands when it is whole."""

    staging: Path
    final: Path


@contextmanager
def writing(job: Job, suffix: str) -> Iterator[Place]:
    """A folder to write an export into, renamed into place when the block ends; a failure leaves nothing.

    suffix: `merged` in the default name `<checkpoint>-merged`. Raises SwiftError where the place is taken.
    """
    final = destination(job, suffix)
    _refuse_taken(job, final)
    staging = final.with_name(f".{final.name}.writing")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        yield Place(staging, final)
        _replace(staging, final)
    except Exception as error:
        if _is_of_the_disk(error):
            raise SwiftError(f"{final} could not be written: {error}. Nothing was left there.") from error
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def destination(job: Job, suffix: str) -> Path:
    """--output_dir, else `<checkpoint>-suffix` beside the checkpoint."""
    if job.options.output_dir:
        return Path(job.options.output_dir)
    source = source_of(job)
    return source.with_name(f"{source.name}-{suffix}")


def source_of(job: Job) -> Path:
    """The folder that is exported: checkpoint, adapter or model; of a hub id, its last part in this folder."""
    adapter = next((c.folder for c in job.many("tuner") if c.folder), None)
    folder = Path(job.options.ckpt_dir or adapter or job.options.model)
    return folder.resolve() if folder.exists() else Path(folder.name)


def _refuse_taken(job: Job, final: Path) -> None:
    """Only an earlier export may be replaced: --exist_ok must not cost anyone a training run."""
    if not final.exists() or (final.is_dir() and not any(final.iterdir())):
        return
    if not job.options.exist_ok:
        raise SwiftError(f"{final} is there already. Choose another --output_dir, or replace it: --exist_ok true.")
    made_by = read_json(final / LOCK_FILE).get("job")
    if made_by not in [name for name, spec in JOBS.items() if spec.module == job.spec.module]:
        raise SwiftError(f"{final} is not an earlier export, so --exist_ok does not replace it. Choose another place.")


def _is_of_the_disk(error: Exception) -> bool:
    """Whether writing failed, and not the work; safetensors reports the system's errors by their text."""
    number = getattr(error, "errno", None)
    return number not in (None, errno.ENOENT) or "(os error" in str(error)


def _replace(staging: Path, final: Path) -> None:
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.replace(final, old)
    os.replace(staging, final)
    shutil.rmtree(old, ignore_errors=True)
