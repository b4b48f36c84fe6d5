"""Evaluation with OpenCompass (github.com/open-compass/opencompass) through EvalScope, in an environment of its own.

The engine is served on the loopback address for as long as OpenCompass asks; with `--eval_url`, OpenCompass asks that
server. Its data is fetched, or lies in `--eval_data_dir` as OpenCompass lays it out: `DIR/data/gsm8k/test.jsonl` …

OpenCompass goes on where a task fails, writes a dash into its table and ends with code 0. Here that is an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_serving.asked import asked
from swift_plugin_serving.evalscope import through_evalscope

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Evaluator
from swift_core.contract.engine import Sampling
from swift_core.contract.job import Job
from swift_core.evaluation.benchmarks import read_benchmarks
from swift_core.evaluation.programs import python_of, run_program
from swift_core.evaluation.sets import EvalSet
from swift_core.inference.conversation import sampling
from swift_plugin_opencompass.results import read_results

RUN = """import json, sys
from evalscope.run import run_task
run_task(json.load(open(sys.argv[1], encoding="utf-8")))"""

UNSENT = ("top_p", "top_k", "repetition_penalty", "stop")
"""How answers are drawn, as far as OpenCompass has no field for it. Our own server takes it from the job."""


@dataclass(kw_only=True, eq=False)
class OpenCompass(Evaluator):
    """OpenCompass's benchmarks of text by name: ceval, mmlu, gsm8k, humaneval, ARC_c, hellaswag …"""

    swift_api = 1
    environment = through_evalscope("ms-opencompass==0.1.6")
    benchmarks = Path(__file__).with_name("benchmarks.tsv")

    prompt_tokens: int = option(4096, "Longest prompt in tokens; examples before a question are left out above.", ge=1)
    model_args: dict[str, Any] = option(
        {}, "JSON of further fields of opencompass.cli.arguments.ApiModelConfig, for instance query_per_second."
    )

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        for eval_set in sets:
            _check(job, eval_set)
        python = python_of(job, self)
        return (self._measure(job, engine, eval_set.name, python) for eval_set in sets)

    def _measure(self, job: Job, engine: Any, name: str, python: Path) -> dict[str, Any]:
        folder = Path(job.options.output_dir, "opencompass", name).resolve()
        shutil.rmtree(folder, ignore_errors=True)  # what is there is of another run
        folder.mkdir(parents=True)
        with asked(job, engine) as (url, model):
            task = self._task(job.options, name, url, model, folder)
            job.say(f"OpenCompass is measuring {name}; its log is {folder / 'log.txt'}.")
            log = run_program("OpenCompass", python, RUN, task, folder, _variables(job.options))
        return read_results(name, folder, log)

    def _task(self, options: Any, name: str, url: str, model: str, folder: Path) -> dict[str, Any]:
        """The fields of evalscope.TaskConfig. Of more rows than `eval_limit` the first are taken."""
        asks = {
            "path": model,
            "openai_api_base": f"{url}/chat/completions",
            "is_chat": True,
            "meta_template": "default-api-meta-template-oc",  # examples are turns of a chat, not one long question
            "key": "ENV",
            "batch_size": options.max_batch_size,
            "max_out_len": options.max_new_tokens,
            "max_seq_len": self.prompt_tokens,
            "temperature": options.temperature,
        }
        config = {"datasets": [name], "models": [{**asks, **self.model_args}], "work_dir": str(folder / "runs")}
        limit = {"limit": f"[:{options.eval_limit}]"} if options.eval_limit else {}
        return {
            "eval_backend": "OpenCompass",
            "work_dir": str(folder / "evalscope"),
            "no_timestamp": True,
            "eval_config": {**config, **limit},
        }


def _variables(options: Any) -> dict[str, str | None]:
    """The key comes through the environment, so that no file holds it."""
    given: dict[str, str | None] = {"OPENAI_API_KEY": options.api_key}
    if options.eval_data_dir:
        given |= {"COMPASS_DATA_CACHE": str(Path(options.eval_data_dir).resolve()), "DATASET_SOURCE": None}
    return given


def _check(job: Job, eval_set: EvalSet) -> None:
    """SwiftError for what OpenCompass cannot measure, before its environment is made."""
    options = job.options
    if eval_set.source is not None:
        raise SwiftError(
            f"{eval_set.source.text}: OpenCompass measures its own benchmarks by name, no files; use --evaluator csv, "
            "or leave --evaluator out."
        )
    unsent = [name for name in UNSENT if getattr(sampling(options), name) != getattr(Sampling(), name)]
    if options.eval_url and unsent:
        raise SwiftError(
            f"OpenCompass has no field for --{unsent[0]}: leave it out; the server at --eval_url may draw like that."
        )
    if options.system is not None:
        raise SwiftError("OpenCompass asks without a system text: leave --system out.")
    if options.eval_data_dir:
        _check_data(Path(options.eval_data_dir), eval_set.name)


def _check_data(folder: Path, name: str) -> None:
    (places, *_) = (*read_benchmarks(OpenCompass.benchmarks, "opencompass")[name].more, "")
    missing = [place for place in places.split() if not (folder / place).exists()]
    if missing:
        raise SwiftError(
            f"--eval_data_dir {folder} holds no {missing[0]}, where OpenCompass reads {name}. Put the data there, or "
            "leave the option out, and OpenCompass fetches it."
        )
