"""Training: pt, sft, rlhf and any third-party trainer are this list of hook calls."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import Trainer, declared
from swift_core.contract.errors import Interrupted, SwiftError
from swift_core.contract.signatures import implementations
from swift_core.data.load import load_all, split_rows
from swift_core.data.stream import RowStream
from swift_core.job.options import HANDED, is_secret
from swift_core.jobs.announce import READ, waiting
from swift_core.jobs.checkpoints import checkpoints
from swift_core.jobs.output_folder import HELD, output_folder
from swift_core.jobs.resume import find_resume, is_finished, note_data, note_weights
from swift_core.jobs.steps import attach_tuners, load_model

if TYPE_CHECKING:
    from swift_core.contract.job import Job


def run(job: Job) -> dict[str, Any]:
    """Train; returns `{"output_dir", "checkpoint", "metrics"}`.

    Raises SwiftError for --push_to_hub without --hub_model_id, and for what its steps refuse; Interrupted where a
    signal stopped it and its checkpoint is saved.
    """
    job.hook.check_job(job=job)
    check_rollouts(job)
    with output_folder(job) as folder:
        return _run(job, folder)


def _run(job: Job, folder: Path) -> dict[str, Any]:
    if job.options.push_to_hub and not job.options.hub_model_id:
        raise SwiftError("--push_to_hub uploads to a repository: say --hub_model_id owner/name.")
    if job.options.launcher and "LOCAL_RANK" not in os.environ:
        return _launch(job, folder)
    note_weights(job)
    resume = find_resume(job)
    if resume and is_finished(job, resume):
        job.say(f"{resume} is the end of this run: nothing is left to train. For more say --max_steps or more epochs.")
        return {"output_dir": str(folder), "checkpoint": resume, "metrics": {}}
    rows, held = load_data(job)
    if not job.options.streaming:
        note_data(job, rows, resume)
        job.memo[READ] = len(rows)
    model, processor = load_model(job, resume)
    with waiting("attaching the tuner"):
        model = attach_tuners(job, model, resume)
    with waiting("encoding the rows and preparing the trainer"):
        trainer = job.hook.build_trainer(job=job, model=model, processor=processor, rows=rows, eval_rows=held)
    outcome = trainer.train(resume_from_checkpoint=resume)
    check_interrupted(folder, trainer)
    last = finish(job, trainer)
    return {"output_dir": job.options.output_dir, "checkpoint": last, "metrics": outcome.metrics, "trainer": trainer}


def load_data(job: Job) -> tuple[Any, list[Any]]:
    """(training rows, held-out rows) of the job's data sets; under --streaming the former is a `RowStream`.

    Raises SwiftError where --dataset is missing.
    """
    options = job.options
    if not options.dataset:
        raise SwiftError("Which data? Say --dataset with a file or a hub id.")
    need_answer = declared(job.one("trainer"), Trainer, "needs_answer")
    held = load_all(job, options.val_dataset, need_answer) if options.val_dataset else []
    if options.streaming:
        check_streaming(job)
        return RowStream(job, options.dataset, need_answer), held
    rows = load_all(job, options.dataset, need_answer)
    return (rows, held) if held else split_rows(rows, options.split_dataset_ratio, options.data_seed)


def check_streaming(job: Job) -> None:
    """Refuse a stream where its rows would have to be counted, split or gone through beforehand."""
    options = job.options
    if not declared(job.one("trainer"), Trainer, "streams"):
        name = job.many("trainer")[0].entry.name
        raise SwiftError(
            f"--streaming does not serve the trainer {name!r}, which looks at all rows first; leave it out."
        )
    if options.max_steps <= 0:
        raise SwiftError("--streaming never knows how many rows there are: say how long to train with --max_steps.")
    if options.split_dataset_ratio:
        raise SwiftError("--streaming cannot hold out a share of rows that are not counted; name a --val_dataset.")


def check_interrupted(folder: Path, trainer: Any) -> None:
    """Interrupted where a signal stopped the trainer, with the checkpoint to go on from."""
    number = getattr(trainer, "stopped_by", None)
    if number is None:
        return
    state = trainer.state
    saved = folder / f"checkpoint-{state.global_step}"
    raise Interrupted(
        f"stopped by {signal.Signals(number).name} after step {state.global_step} of {state.max_steps}. "
        f"{saved} is whole: go on with --resume_from_checkpoint last.",
        number,
    )


def finish(job: Job, trainer: Any) -> str:
    """Make sure that the end of the run is saved, and say where everything is."""
    folder = Path(job.options.output_dir)
    best = trainer.best_checkpoint() if hasattr(trainer, "best_checkpoint") else None
    last = best or str(folder / f"checkpoint-{trainer.state.global_step}")
    if not _from_first(trainer, Path(last).is_dir()):
        trainer.save_model(last)
    lines = {"checkpoint": last, "log": folder / "logging.jsonl", "curves": folder / "curves.png"}
    if job.options.push_to_hub:
        lines["uploaded to"] = trainer.publish(last)
    job.say("Done.\n" + "\n".join(f"  {k}: {v}" for k, v in lines.items() if k == "uploaded to" or Path(v).exists()))
    return last


def _from_first(trainer: Any, value: Any) -> Any:
    """The first process's value, on all: other machines may not see its folder."""
    return trainer.from_first(value) if hasattr(trainer, "from_first") else value


def check_rollouts(job: Job) -> None:
    """Refuse a backend for rollouts that cannot follow a policy, and what serves rollouts where there are none."""
    backend, name = job.options.rollout_backend, job.many("trainer")[0].entry.name
    if backend and "start_rollouts" not in implementations(job.one("backend")):
        raise SwiftError(
            f"--rollout_backend {backend}: this backend does not follow a policy under training (it has no "
            "`start_rollouts`). Leave the option out, and the model under training draws its answers itself."
        )
    if declared(job.one("trainer"), Trainer, "draws"):
        return
    for option in ("rollout_backend", "environment"):
        if value := getattr(job.options, option):
            said = " ".join(value) if isinstance(value, list) else value
            raise SwiftError(f"--{option} {said} serves rollouts, and {name} draws no answers; leave it out.")


def _ended(code: int) -> str:
    """How a process with this exit code ended: shells say 128 + N for signal N."""
    number = code - 128
    return f"by signal {signal.Signals(number).name}" if number in {*signal.Signals} else f"with exit code {code}"


def _is_secret(job: Job, key: str) -> bool:
    """Whether a key of the job's words means a key or password, of the job or of one of its components."""
    last = key.rpartition(".")[2]  # of `judge.api_key`
    own = is_secret(type(job.options), last)
    return own or any(is_secret(type(item.component), last, item.entry.name) for item in job.selected)


def _launch(job: Job, folder: Path) -> dict[str, Any]:
    """Start this very job on several processes; each of them comes back to `run` as a worker."""
    secret = {g.key: g.value for g in job.given if _is_secret(job, g.key)}
    said = {g.key: g.value for g in job.given if g.key not in secret} | {"output_dir": str(folder)}
    file = folder / "launch.json"
    staging = file.with_name(f".{file.name}.{os.getpid()}")  # another machine of the run may read what is there
    staging.write_text(json.dumps(said, indent=2, ensure_ascii=False, default=str), encoding="utf-8")
    os.replace(staging, file)
    os.environ.update({HELD: str(folder.absolute()), HANDED: json.dumps(secret)})
    try:
        code = job.hook.launch(job=job, command=["-m", "swift_core", job.spec.name, "--config", str(file)])
    finally:
        del os.environ[HELD], os.environ[HANDED]
    if code:
        raise SwiftError(f"A process of the job ended {_ended(code)}; its error stands above.")
    saved = checkpoints(folder)
    return {"output_dir": str(folder), "checkpoint": str(saved[-1]) if saved else None, "metrics": {}}
