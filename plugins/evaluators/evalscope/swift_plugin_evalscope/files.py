"""Our data sets laid out as EvalScope reads its own: `SUBSET_val.csv`, `SUBSET_dev.csv`, `SUBSET.jsonl`."""

from __future__ import annotations

import csv
import json
import re
import string
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import as_row, convert_all, raw_rows
from swift_core.data.readers import read_file
from swift_core.evaluation.sets import EvalSet, dev_file, form_of

Raw = dict[str, Any]

BENCHMARKS = {"choice": "general_mcq", "qa": "general_qa"}
LETTERS = string.ascii_uppercase[:10]
"""EvalScope reads choices A to J."""


def lay_out(job: Job, eval_set: EvalSet, folder: Path, num_shots: int) -> tuple[str, str]:
    """Write a data set that is a file into `folder`; (EvalScope's benchmark for it, its subset there).

    Raises SwiftError for a bad row.
    """
    folder.mkdir(parents=True)
    source = eval_set.source_of_rows
    raw = list(raw_rows(job, source))
    benchmark = BENCHMARKS[form_of(raw, eval_set, job.options.columns)]
    subset = re.sub(r"[^\w.-]", "__", eval_set.name)
    if benchmark == "general_qa":
        _write_answers(folder / f"{subset}.jsonl", job, eval_set, raw)
        return benchmark, subset
    renamed = job.options.columns
    _write_table(folder / f"{subset}_val.csv", convert_all(job, source, raw, lambda r: _question(r, renamed)))
    if num_shots:
        shots = [_question(r, renamed) for r in read_file(dev_file(eval_set))]
        _write_table(folder / f"{subset}_dev.csv", shots)
    return benchmark, subset


def _question(raw: Raw, renamed: dict[str, str]) -> Raw:
    """One multiple-choice row; SwiftError where EvalScope would fall over it."""
    row = {renamed.get(name, name): value for name, value in raw.items()}
    choices = {letter: row[letter] for letter in LETTERS if row.get(letter) not in (None, "")}
    answer = str(row.get("answer") or "").strip(" ().").upper()
    if list(choices) != list(LETTERS[: len(choices)]) or answer not in choices or not row.get("question"):
        raise SwiftError(
            f"{row['_where']}: a question needs its text, choices from A on without a gap (to J), and one of them as "
            f"the answer; found choices {', '.join(choices)} and answer {row.get('answer')!r}."
        )
    return {"id": row.get("id", row["_where"]), "question": row["question"], **choices, "answer": answer}


def _write_table(path: Path, rows: list[Raw]) -> None:
    columns = ["id", "question", *(c for c in LETTERS if any(c in row for row in rows)), "answer"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, columns)
        writer.writeheader()
        writer.writerows(rows)


def _write_answers(path: Path, job: Job, eval_set: EvalSet, raw: list[Raw]) -> None:
    source = eval_set.source_of_rows
    rows = convert_all(job, source, raw, lambda r: _conversation(as_row(job, r, source, need_answer=True)))
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")


def _conversation(row: Row) -> Raw:
    """A row for general_qa: one plain question as `query`, which its prompt is put around; else the messages."""
    if row.media or row.tools or any(m["role"] == "tool" or m.get("tool_calls") for m in row.messages):
        raise SwiftError(f"{row.where}: EvalScope's general_qa knows text alone; use the evaluators csv or agent.")
    asked = row.prompt().messages
    said: Raw = {"query": asked[0]["content"]} if len(asked) == 1 else {"messages": asked}
    return {**said, "response": row.answer}
