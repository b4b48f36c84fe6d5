"""Going on from a checkpoint: which one, whether the job is still the same, and whether anything is left to do."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.errors import SwiftError
from swift_core.job.lockfile import LOCK_FILE, lock_of, read_lock
from swift_core.job.options import fields_of
from swift_core.jobs.checkpoints import ELSEWHERE, checkpoints, newest_whole, object_in, state_of, whole_or_refused

if TYPE_CHECKING:
    from swift_core.contract.job import Job

FIXED_KINDS = ("model", "trainer", "tuner", "quantizer", "optimizer")
"""Kinds whose components the checkpoint's state belongs to: others cannot go on from it."""

FIXED_OPTIONS = ("tuner", "quantizer", "optimizer")
"""Kinds whose options are settled by what the checkpoint holds."""


RESTARTS = "TORCHELASTIC_RESTART_COUNT"
"""Environment variable: how often a launcher has started the job's processes anew."""

AUTO = "auto"
"""Value of --resume_from_checkpoint: the newest whole checkpoint, or from the beginning where there is none."""

RESUMED = "resumed"
"""Key of `job.memo`: the checkpoint that the job goes on from."""


@dataclass(frozen=True)
class Change:
    """One thing that differs from the checkpoint's run. fixed: whether the checkpoint cannot go on with it."""

    name: str
    then: Any
    now: Any
    fixed: bool

    def __str__(self) -> str:
        return f"{self.name} {_short(self.now)} (was {_short(self.then)})"


def find_resume(job: Job) -> str | None:
    """The checkpoint to go on from; `last` is the newest whole one in the output folder, `auto` that or none.

    Notes the run's id.

    Raises SwiftError where there is no such checkpoint, or where the job cannot go on from it.
    """
    wanted = _again(job) or job.options.resume_from_checkpoint
    if wanted == AUTO:
        wanted = str(newest_whole(Path(job.options.output_dir), job.say) or "")
    if wanted in (None, "", "false", "False"):
        job.memo["run"] = secrets.token_hex(4)
        return None
    checkpoint = _last(job) if wanted in ("last", "true", "True") else whole_or_refused(Path(wanted))
    lock = read_lock(checkpoint)
    job.memo["run"] = lock.get("run") or secrets.token_hex(4)
    check_changes(job, checkpoint, lock)
    job.memo[RESUMED] = str(checkpoint)
    return str(checkpoint)


def _again(job: Job) -> str | None:
    """`last` where a launcher started this process anew, in the place of one that died, and there is a checkpoint."""
    if os.environ.get(RESTARTS, "0") == "0" or not checkpoints(Path(job.options.output_dir)):
        return None
    job.say("started anew after a process died: going on from the newest whole checkpoint")
    return "last"


def _last(job: Job) -> Path:
    folder = Path(job.options.output_dir)
    checkpoint = newest_whole(folder, job.say)
    if checkpoint is None:
        kind = "whole checkpoint" if checkpoints(folder) else "checkpoint"
        elsewhere = object_in(folder / ELSEWHERE) or {}
        raise SwiftError(
            f"There is no {kind} in {folder} to go on from. "
            + (
                f"The run's checkpoints are on the machine {elsewhere.get('machine')}, in {elsewhere.get('folder')}: "
                "copy the newest here, or let all machines share the folder."
                if elsewhere
                else "Leave --resume_from_checkpoint out to begin."
            )
        )
    return checkpoint


# -- is it still the same job? ----------------------------------------------------------------------------------
def check_changes(job: Job, checkpoint: Path, lock: dict[str, Any]) -> None:
    """Say what differs from the checkpoint's run. SwiftError for what it cannot go on with."""
    if not lock.get("components"):
        job.say(f"{checkpoint} has no {LOCK_FILE}: whether it was trained by this very job cannot be told")
    changes = _changes(job, lock)
    refused = [str(c) for c in changes if c.fixed]
    if refused:
        raise SwiftError(
            f"{checkpoint} was trained otherwise, and what it holds cannot go on so: {'; '.join(refused)}. Say what it "
            "was trained with, or begin a new run on its weights: --adapters (or --model) with this folder."
        )
    if changes:
        job.say(f"not the same run as {checkpoint.name}'s from here on: {'; '.join(map(str, changes))}")


def _changes(job: Job, lock: dict[str, Any]) -> list[Change]:
    return list(changes_of(_plain(lock_of(job)), lock, _rules(job)))


def changes_of(now: dict[str, Any], then: dict[str, Any], rules: dict[str, str]) -> Iterator[Change]:
    """Every difference between two locks. rules: option → `fixed`, `free` (never named) or `said`."""
    yield from _changed_weights(now, then)
    mine, theirs = _components(now), _components(then)
    if not theirs:
        return
    for kind in FIXED_KINDS:
        a, b = ([name for k, name in which if k == kind] for which in (list(mine), list(theirs)))
        if a != b:
            yield Change(f"--{kind}", b, a, True)
    for (kind, label), options in mine.items():
        yield from _changed_options(options, theirs.get((kind, label), {}), rules, kind in FIXED_OPTIONS)
    yield from _changed_options(now.get("options", {}), then.get("options", {}), rules, False)


def _components(lock: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """(kind, `label=name`) → its options."""
    return {
        (c["kind"], _named(c["name"], c.get("label", c["name"]))): c.get("options", {})
        for c in lock.get("components", [])
    }


def _named(name: str, label: str) -> str:
    return name if label in (name, "default") else f"{label}={name}"


def _changed_options(now: dict[str, Any], then: dict[str, Any], rules: dict[str, str], fixed: bool) -> Iterator[Change]:
    for name, value in now.items():
        rule = rules.get(name, "said")
        if name in then and then[name] != value and rule != "free" and name not in ("model", *FIXED_KINDS):
            yield Change(f"--{name}", then[name], value, rule == "fixed" or fixed)


def _changed_weights(now: dict[str, Any], then: dict[str, Any]) -> Iterator[Change]:
    """The model: by its weights where both are known, else by its name."""
    if now.get("weights") and then.get("weights"):
        if now["weights"] != then["weights"]:
            yield Change("--model", f"other weights, of {then.get('model')}", now.get("model"), True)
    elif then.get("model") not in (None, now.get("model")):
        yield Change("--model", then["model"], now.get("model"), True)


def _rules(job: Job) -> dict[str, str]:
    owners = [type(job.options), *(type(c.component) for c in job.selected)]
    return {n: f.metadata["on_resume"] for o in owners for n, f in fields_of(o).items() if "on_resume" in f.metadata}


def _plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value, default=str))


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else "left out" if value is None else str(value)
    return ("…" + text[-100:] if len(text) > 100 else text) or "none"


# -- is it still the same data? ---------------------------------------------------------------------------------
def note_data(job: Job, rows: Iterable[Any], resume: str | None) -> None:
    """Note what the job trains on, for its lock; say where a checkpoint was trained on something else."""
    mark, count = hashlib.blake2b(digest_size=8), 0
    for row in rows:
        count += 1
        told = (row.messages, row.rejected, row.tools, row.media, row.objects, row.extra, row.label)
        mark.update(json.dumps(told, default=_content).encode(errors="replace"))
    job.memo["data"] = {"rows": count, "digest": mark.hexdigest()}
    then = read_lock(Path(resume)).get("data") if resume else None
    if then and then != job.memo["data"]:
        had = f"{count} rows, it had {then.get('rows')}"
        what = "as many rows, but others or in another order" if then.get("rows") == count else had
        job.say(f"not the same data as {Path(str(resume)).name}'s: {what}; which rows come next is another order")


def _content(value: Any) -> str:
    """Media in memory and values of unusual types: what they hold where that is cheap, else what they are."""
    return hashlib.blake2b(value, digest_size=8).hexdigest() if isinstance(value, bytes) else type(value).__name__


def note_weights(job: Job) -> None:
    """Note what the weights of a local model are, from samples of its files, for the lock of this run."""
    folder = Path(str(job.options.model))
    if folder.is_dir():
        mark = hashlib.blake2b(digest_size=8)
        for file in sorted(p for p in folder.iterdir() if p.suffix in (".safetensors", ".bin", ".gguf")):
            mark.update(_sample(file))
        job.memo["weights"] = mark.hexdigest()


def _sample(file: Path) -> bytes:
    """A file's size, and 64 kB at each of nine places from its beginning to its end."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        parts = [str(size).encode()]
        for place in range(9):
            stream.seek(max(0, size - 65536) * place // 8)
            parts.append(stream.read(65536))
    return b"".join(parts)


# -- is anything left to do? ------------------------------------------------------------------------------------
def is_finished(job: Job, checkpoint: str) -> bool:
    """Whether the checkpoint stands at the end of this job: no step is left to train."""
    state = state_of(Path(checkpoint))
    step, planned = state.get("global_step", 0), state.get("max_steps", 0)
    if job.options.max_steps > 0:
        return bool(step >= job.options.max_steps)
    lock = read_lock(Path(checkpoint))
    return bool(planned and step >= planned and lock.get("components") and not _changes(job, lock))
