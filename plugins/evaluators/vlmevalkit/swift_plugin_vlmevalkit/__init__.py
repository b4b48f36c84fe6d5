"""Evaluation with VLMEvalKit (github.com/open-compass/VLMEvalKit) through EvalScope, in an environment of its own.

The engine is served on the loopback address for as long as VLMEvalKit asks; with `--eval_url`, VLMEvalKit asks that
server. Its data is fetched, or lies in `--eval_data_dir` as `NAME.tsv`. A table of one's own (columns index, question,
A, B …, answer, and image as base64 or image_path) is given as a file: `--evaluator vlmevalkit --eval_dataset own.tsv`.

VLMEvalKit goes on where a data set fails, and counts a row without an answer as wrong. Here the first is an error, and
the second is said.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_plugin_serving.asked import asked
from swift_plugin_serving.evalscope import through_evalscope

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Evaluator
from swift_core.contract.job import Job
from swift_core.evaluation.benchmarks import read_benchmarks
from swift_core.evaluation.programs import python_of, run_program
from swift_core.evaluation.sets import EvalSet
from swift_core.inference.conversation import sampling
from swift_plugin_vlmevalkit.programs import RUN
from swift_plugin_vlmevalkit.results import read_results

NEEDED = ("index", "question", "A", "B", "answer")
"""Columns of a table of one's own; VLMEvalKit scores no other form without code."""


@dataclass(kw_only=True, eq=False)
class VLMEvalKit(Evaluator):
    """VLMEvalKit's benchmarks of pictures and videos by name (COCO_VAL, MMBench_DEV_EN …), or a table of one's own."""

    swift_api = 1
    environment = through_evalscope("ms-vlmeval==0.0.19")
    benchmarks = Path(__file__).with_name("benchmarks.tsv")

    judge: str = option(
        "exact_matching", "Who judges free answers: exact_matching, or a model at judge_url or of OpenAI's."
    )
    judge_url: str | None = option(None, "OpenAI endpoint of the judge; its key is the variable OPENAI_API_KEY.")

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        for eval_set in sets:
            _check(eval_set)
        python = python_of(job, self)
        return (self._measure(job, engine, eval_set, python) for eval_set in sets)

    def _measure(self, job: Job, engine: Any, eval_set: EvalSet, python: Path) -> dict[str, Any]:
        name, options = eval_set.name, job.options
        folder = Path(options.output_dir, "vlmevalkit", name).resolve()
        shutil.rmtree(folder, ignore_errors=True)  # what is there is of another run
        folder.mkdir(parents=True)
        with asked(job, engine) as (url, model):
            told: dict[str, str | None] = {"SWIFT_EVAL_MODEL": model, "SWIFT_EVAL_KEY": options.api_key}
            task = self._task(options, name, url, folder)
            job.say(f"VLMEvalKit is measuring {name}; its log is {folder / 'log.txt'}.")
            log = run_program("VLMEvalKit", python, RUN, task, folder, told | _data(options, eval_set, folder))
        return read_results(job, name, folder, log)

    def _task(self, options: Any, name: str, url: str, folder: Path) -> dict[str, Any]:
        """The fields of evalscope.TaskConfig. Of more rows than `eval_limit` the first are taken."""
        model = {
            "name": "CustomAPIModel",
            "type": "served",
            "api_base": f"{url}/chat/completions",
            "img_size": -1,
            "img_detail": "high",
            "retry": 3,
            "timeout": 600,
            **_generation(options),
        }
        config = {"data": [name], "model": [model], "mode": "all", "nproc": options.max_batch_size, "judge": self.judge}
        limit = {"limit": options.eval_limit} if options.eval_limit else {}
        judged = {"OPENAI_API_BASE": self.judge_url, "LOCAL_LLM": self.judge} if self.judge_url else {}
        return {
            "eval_backend": "VLMEvalKit",
            "work_dir": str(folder / "runs"),
            "no_timestamp": True,
            "eval_config": {**config, **limit, **judged},
        }


def _generation(options: Any) -> dict[str, Any]:
    """The job's generation options as fields of each request; what asks for nothing is left out."""
    said = sampling(options)
    return {
        "max_tokens": said.max_new_tokens,
        "temperature": said.temperature,
        "top_p": said.top_p,
        **({"top_k": said.top_k} if said.top_k else {}),
        **({"repetition_penalty": said.repetition_penalty} if said.repetition_penalty != 1.0 else {}),
        **({"stop": list(said.stop)} if said.stop else {}),
        **({"system_prompt": options.system} if options.system is not None else {}),
    }


def _data(options: Any, eval_set: EvalSet, folder: Path) -> dict[str, str | None]:
    """Where VLMEvalKit looks for tables; one of the user's own lies linked in a folder of the job."""
    if eval_set.source is not None:
        place = folder / "data"
        place.mkdir()
        (place / f"{eval_set.name}.tsv").symlink_to(Path(eval_set.source.id).resolve())
        return {"LMUData": str(place)}
    return {"LMUData": str(Path(options.eval_data_dir).resolve())} if options.eval_data_dir else {}


def _check(eval_set: EvalSet) -> None:
    """SwiftError for what VLMEvalKit cannot measure, before its environment is made."""
    if eval_set.source is None:
        return
    file = Path(eval_set.source.id)
    if file.suffix != ".tsv" or not file.is_file():
        raise SwiftError(
            f"{eval_set.source.text}: VLMEvalKit measures its own benchmarks by name, and tables of one's own that are "
            "local .tsv files; use --evaluator csv for others, or leave --evaluator out."
        )
    if eval_set.name in read_benchmarks(VLMEvalKit.benchmarks, "vlmevalkit"):
        raise SwiftError(
            f"{file}: VLMEvalKit has a benchmark {eval_set.name!r} and would fetch that; rename the file. The "
            f"benchmark itself: --eval_dataset {eval_set.name} --eval_data_dir {file.parent}."
        )
    if re.search(r"[^\w.-]", eval_set.name):
        raise SwiftError(f"{file}: VLMEvalKit names files after the table; rename it to letters, digits, - and _.")
    with file.open(encoding="utf-8") as stream:
        header = stream.readline().rstrip("\r\n").split("\t")
    missing = [column for column in NEEDED if column not in header]
    if missing:
        raise SwiftError(
            f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}: VLMEvalKit scores multiple "
            f"choice, with the columns {', '.join(NEEDED)} and, for pictures, image (base64) or image_path. Questions "
            "with free answers: --evaluator csv."
        )
