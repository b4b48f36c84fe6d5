"""Evaluation with EvalScope (github.com/modelscope/evalscope), which runs in an environment of its own.

The engine is served on the loopback address for as long as EvalScope asks; with `--eval_url`, EvalScope asks
that server. Names (`gsm8k`, `mmlu` …) are EvalScope's own benchmarks, which it downloads. Files go through
its `general_mcq` and `general_qa`. Its JSON report comes back as ours, one per subset.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_serving.remote import base_url
from swift_plugin_serving.server import running_server

from swift_core import SwiftError, hookimpl, option
from swift_core.catalogue import venvs
from swift_core.contract.components import Evaluator, Requirements
from swift_core.contract.job import Job
from swift_core.evaluation.sets import eval_sets
from swift_core.inference.conversation import first_adapter, sampling
from swift_plugin_evalscope.files import lay_out
from swift_plugin_evalscope.reports import read_reports

RUN = """import json, os, sys
from evalscope.run import run_task
run_task({**json.load(open(sys.argv[1], encoding="utf-8")), "api_key": os.environ["SWIFT_EVAL_KEY"]})"""
"""The key comes through the environment, so that no file holds it."""

WRITTEN = ("data", "configs", "predictions", "reports", "reviews")
"""Folders made anew by each run; EvalScope adds to what is there."""


@dataclass(kw_only=True, eq=False)
class EvalScope(Evaluator):
    """EvalScope's benchmarks by name, and own files through its general_mcq and general_qa."""

    swift_api = 1
    environment = Requirements(("evalscope==1.14.1",), size="about 1 GB")

    num_shots: int = option(0, "Multiple-choice files: examples before each question, from *_dev beside *_val.", ge=0)
    choice_prompt: str | None = option(
        None, "Multiple-choice files: prompt of {question}, {choices} and {letters}; left out, EvalScope's own."
    )
    qa_prompt: str | None = option(None, "Question-answer files: prompt of {question}; left out, EvalScope's own.")
    eval_args: dict[str, Any] = option(
        {}, "JSON of further evalscope.TaskConfig fields, for instance dataset_args.", aliases=("task_config",)
    )

    @hookimpl
    def evaluate(self, job: Job, engine: Any) -> list[dict[str, Any]]:
        folder = Path(job.options.output_dir, "evalscope").resolve()
        for name in WRITTEN:
            shutil.rmtree(folder / name, ignore_errors=True)
        files = lay_out(job, folder / "data", self.num_shots)
        names = [eval_set.name for eval_set in eval_sets(job) if eval_set.source is None]
        args = {**{name: {} for name in names}, **self._file_args(files)}
        python = self._environment(job)
        with _served(job, engine) as (url, model):
            task = self._task(job, args, url, model, folder)
            _run(job, python, task, folder)
        return read_reports(job, folder, files)

    def _file_args(self, files: Any) -> dict[str, dict[str, Any]]:
        """dataset_args of the two benchmarks that read files, where there are files for them."""
        choice: dict[str, Any] = {"prompt_template": self.choice_prompt, "few_shot_num": self.num_shots or None}
        settings: dict[str, dict[str, Any]] = {"general_mcq": choice, "general_qa": {"prompt_template": self.qa_prompt}}
        return {
            name: {k: v for k, v in args.items() if v is not None}
            | {"local_path": str(files.folders[name]), "subset_list": list(files.subsets[name])}
            for name, args in settings.items()
            if files.subsets[name]
        }

    def _environment(self, job: Job) -> Path:
        entry = next(item.entry for item in job.many("evaluator") if item.component is self)
        environment = venvs.of_entry(entry)
        assert environment is not None  # the class declares one
        return environment.create()

    def _task(self, job: Job, args: dict[str, dict[str, Any]], url: str, model: str, folder: Path) -> dict[str, Any]:
        """The fields of evalscope.TaskConfig; what the user says in `eval_args` wins."""
        given = dict(self.eval_args)
        more = given.pop("dataset_args", {})
        return {
            "model": model,
            "model_id": "model",
            "api_url": url,
            "eval_type": "openai_api",
            "datasets": list(args),
            "dataset_args": {name: {**own, **more.get(name, {})} for name, own in args.items()},
            "dataset_hub": "huggingface" if job.options.use_hf else "modelscope",
            "generation_config": _generation(job.options),
            "eval_batch_size": job.options.max_batch_size,
            "limit": job.options.eval_limit,
            "seed": job.options.seed,
            "work_dir": str(folder),
            "no_timestamp": True,
            **given,
        }


def _generation(options: Any) -> dict[str, Any]:
    """The job's generation options in EvalScope's words; what asks for nothing is left out."""
    said = sampling(options)
    return {
        "max_tokens": said.max_new_tokens,
        "temperature": said.temperature,
        "top_p": said.top_p,
        **({"top_k": said.top_k} if said.top_k else {}),
        **({"repetition_penalty": said.repetition_penalty} if said.repetition_penalty != 1.0 else {}),
        **({"stop_seqs": list(said.stop)} if said.stop else {}),
    }


@contextmanager
def _served(job: Job, engine: Any) -> Iterator[tuple[str, str]]:
    """(address that ends in /v1, model name) of the endpoint that EvalScope asks."""
    options = job.options
    model = first_adapter(engine) or engine.models[0]
    if options.eval_url:
        yield base_url(options.eval_url), model
        return
    with running_server(engine, max_batch_size=options.max_batch_size, api_key=options.api_key) as url:
        yield f"{url}/v1", model


def _run(job: Job, python: Path, task: dict[str, Any], folder: Path) -> None:
    """Run EvalScope to its end; SwiftError with the last words of its log where it fails."""
    config, log = folder / "task.json", folder / "evalscope.log"
    config.write_text(json.dumps(task, ensure_ascii=False, indent=1), encoding="utf-8")
    job.say(f"EvalScope is measuring {', '.join(task['datasets'])}; its log is {log}.")
    with log.open("w", encoding="utf-8") as stream:
        done = subprocess.run(
            [str(python), "-c", RUN, str(config)],
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, "SWIFT_EVAL_KEY": job.options.api_key},
            check=False,
        )
    if done.returncode:
        last = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()][-3:]
        raise SwiftError(f"EvalScope ended with code {done.returncode}: {' '.join(last)[-600:]} Its log is {log}.")
