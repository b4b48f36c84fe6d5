"""The Berkeley Function Calling Leaderboard (BFCL; Patil et al., ICML 2025; github.com/ShishirPatil/gorilla).

Each row is one question with functions on offer; the model calls some of them, or none. Questions, right answers and
the checker are those of the package bfcl-eval (Apache-2.0), which stands in an environment of its own, without the
clients of vendors that it asks for and that the checker does not need. Any engine answers, or a server (`--eval_url`),
in any agent format. Categories that call functions of Python are measured; those of Java and JavaScript, of several
turns, of memory and of web search are not.

| rows                     | right where                                                                   |
|--------------------------|-------------------------------------------------------------------------------|
| with right calls         | BFCL's checker of syntax trees accepts the calls: names, arguments, values    |
| of irrelevant functions  | nothing is called                                                             |
| of relevant functions    | something is called                                                           |
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Evaluator, Requirements
from swift_core.contract.engine import Reply
from swift_core.contract.job import Job
from swift_core.data.load import raw_rows
from swift_core.evaluation.programs import python_of
from swift_core.evaluation.reports import answer_all, mean, write_results
from swift_core.evaluation.sets import EvalSet
from swift_plugin_bfcl.cases import Case, case_of, read_category
from swift_plugin_bfcl.checker import judge

LEFT_OUT = (
    "requests", "tqdm", "numpy", "pandas", "huggingface_hub", "pydantic", "python-dotenv", "tree_sitter",
    "tree-sitter-java", "tree-sitter-javascript", "openai", "mistralai", "anthropic", "cohere", "typer", "tabulate",
    "datamodel-code-generator", "google-genai", "qwen-agent", "mpmath", "tenacity", "writer-sdk", "overrides", "boto3",
    "beautifulsoup4", "html2text", "rank_bm25", "google-search-results", "sentence-transformers", "faiss-cpu",
    "networkx", "filelock",
)  # fmt: skip
"""What bfcl-eval asks for and neither its data nor its checker needs."""


@dataclass(kw_only=True, eq=False)
class Bfcl(Evaluator):
    """BFCL's categories by name (bfcl_simple, bfcl_parallel, bfcl_irrelevance …), or files in its form: accuracy."""

    swift_api = 1
    environment = Requirements(
        ("bfcl-eval==2026.3.23",),
        size="about 15 MB",
        overrides=tuple(f"{n}; sys_platform == 'never'" for n in LEFT_OUT),
    )
    benchmarks = Path(__file__).with_name("benchmarks.tsv")

    @hookimpl
    def evaluate(self, job: Job, engine: Any, sets: list[EvalSet]) -> Iterator[dict[str, Any]]:
        python = python_of(job, self)
        read = [(s.name, _cases(job, s, python)) for s in sets]
        return (_measure(job, engine, name, cases, python) for name, cases in read)


def _cases(job: Job, eval_set: EvalSet, python: Path) -> list[Case]:
    """The rows of a file in BFCL's form, or of a category of the package."""
    if eval_set.source is None:
        cases = read_category(python, eval_set.name.removeprefix("bfcl_"))
    else:
        cases = [case_of(raw, str(raw.get("category", ""))) for raw in raw_rows(job, eval_set.source)]
    return cases[: job.options.eval_limit]


def _measure(job: Job, engine: Any, name: str, cases: list[Case], python: Path) -> dict[str, Any]:
    """Ask for every row, have the calls judged; the report of one category."""
    _, replies = answer_all(job, engine, [case.row for case in cases], name)
    called = [reply.calls or _read_calls(job, reply) for reply in replies]
    pairs = [(case, case.as_bfcl(calls)) for case, calls in zip(cases, called, strict=True)]
    faults = judge(Path(job.options.output_dir, "bfcl", f"{name}-checker"), python, pairs)
    results = [
        _result(case, reply, calls, fault)
        for case, reply, calls, fault in zip(cases, replies, called, faults, strict=True)
    ]
    return {
        "name": name,
        "metrics": {"accuracy": mean(float(not fault) for fault in faults)},
        "rows": len(results),
        "file": write_results(job, "bfcl", name, results),
    }


def _result(case: Case, reply: Reply, calls: list[dict[str, Any]], fault: str) -> dict[str, Any]:
    """What stands in the file of results: calls under the names that the model read."""
    return {
        "id": case.row.where,
        "prompt": case.row.messages,
        "tools": [tool["function"]["name"] for tool in case.row.tools],
        "answer": reply.text,
        "calls": calls,
        "gold": case.ground_truth,
        "right": not fault,
        "fault": fault,
    }


def _read_calls(job: Job, reply: Reply) -> list[dict[str, Any]]:
    return job.hook.read_calls(job=job, text=reply.text) or []
