"""Evaluation with EvalScope (github.com/modelscope/evalscope), which runs in an environment of its own.

The engine is served on the loopback address for as long as EvalScope asks; with `--eval_url`, EvalScope asks
that server. Names (`gsm8k`, `mmlu` …) are EvalScope's own benchmarks, which it downloads, or finds in
`--eval_data_dir`. Files go through its `general_mcq` and `general_qa`. Its JSON report comes back as ours.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_serving.asked import asked

from swift_core import hookimpl, option
from swift_core.contract.components import Evaluator, Requirements
from swift_core.contract.job import Job
from swift_core.evaluation.programs import python_of, run_program
from swift_core.evaluation.sets import EvalSet
from swift_core.inference.conversation import sampling
from swift_plugin_evalscope.files import lay_out
from swift_plugin_evalscope.offline import offline_args
from swift_plugin_evalscope.reports import read_report

RUN = """import json, os, sys
from evalscope.run import run_task
run_task({**json.load(open(sys.argv[1], encoding="utf-8")), "api_key": os.environ["SWIFT_EVAL_KEY"]})"""
"""The key comes through the environment, so that no file holds it."""


@dataclass(frozen=True)
class Task:
    """One data set for EvalScope. name: ours. benchmark: EvalScope's. args: its dataset_args. folder: of the run."""

    name: str
    benchmark: str
    args: dict[str, Any]
    folder: Path


@dataclass(kw_only=True, eq=False)
class EvalScope(Evaluator):
    """EvalScope's benchmarks by name, and own files through its general_mcq and general_qa."""

    swift_api = 1
    environment = Requirements(("evalscope==1.14.1",), size="about 1 GB")
    benchmarks = Path(__file__).with_name("benchmarks.tsv")

    num_shots: int = option(0, "Multiple-choice files: examples before each question, from *_dev beside *_val.", ge=0)
    choice_prompt: str | None = option(
        None, "Multiple-choice files: prompt of {question}, {choices} and {letters}; left out, EvalScope's own."
    )
    qa_prompt: str | None = option(None, "Question-answer files: prompt of {question}; left out, EvalScope's own.")
    eval_args: dict[str, Any] = option(
        {}, "JSON of further evalscope.TaskConfig fields, for instance dataset_args.", aliases=("task_config",)
    )

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        tasks = [self._prepared(job, eval_set) for eval_set in sets]  # bad data is found before the engine starts
        python = python_of(job, self)
        return (self._measure(job, engine, task, python) for task in tasks)

    def _prepared(self, job: Job, eval_set: EvalSet) -> Task:
        """The data set laid out in a new folder; EvalScope adds to what is there."""
        folder = Path(job.options.output_dir, "evalscope", re.sub(r"[^\w.-]", "__", eval_set.name)).resolve()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if eval_set.source is None:
            return Task(eval_set.name, eval_set.name, offline_args(job, eval_set.name, folder / "data"), folder)
        benchmark, subset = lay_out(job, eval_set, folder / "data", self.num_shots)
        args = {"local_path": str(folder / "data"), "subset_list": [subset], **self._file_args()[benchmark]}
        return Task(eval_set.name, benchmark, args, folder)

    def _file_args(self) -> dict[str, dict[str, Any]]:
        """What the user says about files, as dataset_args of the two benchmarks that read them."""
        choice: dict[str, Any] = {"prompt_template": self.choice_prompt, "few_shot_num": self.num_shots or None}
        settings: dict[str, dict[str, Any]] = {"general_mcq": choice, "general_qa": {"prompt_template": self.qa_prompt}}
        return {name: {k: v for k, v in args.items() if v is not None} for name, args in settings.items()}

    def _measure(self, job: Job, engine: Any, task: Task, python: Path) -> dict[str, Any]:
        with asked(job, engine) as (url, model):
            config = self._config(job, task, url, model)
            job.say(f"EvalScope is measuring {task.name}; its log is {task.folder / 'log.txt'}.")
            key = {"SWIFT_EVAL_KEY": job.options.api_key}
            log = run_program("EvalScope", python, RUN, config, task.folder, key)
        return read_report(job, task.name, task.benchmark, task.folder, log)

    def _config(self, job: Job, task: Task, url: str, model: str) -> dict[str, Any]:
        """The fields of evalscope.TaskConfig; what the user says in `eval_args` wins."""
        given = dict(self.eval_args)
        more = given.pop("dataset_args", {})
        return {
            "model": model,
            "model_id": "model",
            "api_url": url,
            "eval_type": "openai_api",
            "datasets": [task.benchmark],
            "dataset_args": {task.benchmark: {**task.args, **more.get(task.benchmark, {})}},
            "dataset_hub": "huggingface" if job.options.use_hf else "modelscope",
            "generation_config": _generation(job.options),
            "eval_batch_size": job.options.max_batch_size,
            "limit": job.options.eval_limit,
            "seed": job.options.seed,
            "work_dir": str(task.folder),
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
