"""EvalScope itself, where its environment is made; laying out files and reading reports everywhere."""

from __future__ import annotations

import csv
import json
import os
import sys
from pathlib import Path

import pytest
from swift_plugin_evalscope import _run
from swift_plugin_evalscope.files import lay_out
from swift_plugin_evalscope.reports import failures, metric_name
from swift_testing.serving import LESSONS, taught_qwen2

from swift_core import SwiftError, run
from swift_core.catalogue import venvs
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

HEADER = ["id", "question", "A", "B", "C", "answer"]
TABLE = [
    ["1", "One?", "un", "deux", "trois", "A"],
    ["2", "Two?", "trois", "un", "deux", "C"],
    ["3", "Three?", "deux", "trois", "un", "B"],
    ["4", "Four, of these?", "un", "deux", "trois", "B"],
]
PROMPT = "{question}\n{choices}\n({letters})"


def write_table(path: Path, rows) -> str:
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([HEADER, *rows])
    return str(path)


def write_lines(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return str(path)


def eval_job(tmp_path, **options):
    given = {"evaluator": ["evalscope"], "eval_url": "http://127.0.0.1:9", "output_dir": str(tmp_path / "out")}
    return prepare("eval", [Given(k, v, "test") for k, v in {**given, **options}.items()])


def test_files_are_laid_out_as_evalscope_reads_them(tmp_path):
    table = write_table(tmp_path / "my numbers_val.csv", TABLE)
    write_table(tmp_path / "my numbers_dev.csv", TABLE[:1])
    history = {"query": "And now?", "response": "Bye.", "history": [["Hi", "Hello"]], "system": "Be brief."}
    lines = write_lines(tmp_path / "qa.jsonl", [{"query": "你好", "response": "你好!"}, history])
    files = lay_out(eval_job(tmp_path, eval_dataset=[table, lines, "gsm8k"]), tmp_path / "data", 1)
    assert files.subsets == {"general_mcq": {"my__numbers": "my numbers"}, "general_qa": {"qa": "qa"}}
    with (tmp_path / "data" / "general_mcq" / "my__numbers_val.csv").open(encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == [HEADER, *TABLE]
    assert (tmp_path / "data" / "general_mcq" / "my__numbers_dev.csv").is_file()
    written = (tmp_path / "data" / "general_qa" / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    first, second = map(json.loads, written)
    assert first == {"query": "你好", "response": "你好!"}
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["1", "One?", "un", "", "trois", "A"], "bad.csv:2: .*without a gap"),
        (["1", "One?", "un", "deux", "", "C"], "'C'"),
    ],
)
def test_bad_question_names_its_line(tmp_path, row, words):
    table = write_table(tmp_path / "bad.csv", [row, TABLE[0]])
    with pytest.raises(SwiftError, match=words):
        lay_out(eval_job(tmp_path, eval_dataset=[table]), tmp_path / "data", 0)


def test_rows_with_tools_are_not_for_evalscope(tmp_path):
    lines = write_lines(tmp_path / "tools.jsonl", [row for row in LESSONS if "tools" in row])
    with pytest.raises(SwiftError, match=r"tools.jsonl:1: .*text alone; use the evaluators csv or agent"):
        lay_out(eval_job(tmp_path, eval_dataset=[lines]), tmp_path / "data", 0)


def test_metric_names_say_what_was_measured():
    assert metric_name({"name": "accuracy", "aggregation": "mean", "dimensions": {}}) == "accuracy"
    assert metric_name({"name": "bleu", "dimensions": {"ngram": 4}}) == "bleu-4"
    assert metric_name({"name": "rouge", "dimensions": {"statistic": "f1", "variant": "l"}}) == "rouge-l-f1"


def test_failed_metrics_are_found_in_the_reviews(tmp_path):
    def review(**metadata):
        return {"sample_score": {"score": {"metadata": metadata}}}

    errors = {"BLEU": "LookupError: \n*****\n  Resource 'punkt_tab' not found.\n" + "x" * 200}
    lines = write_lines(tmp_path / "r.jsonl", [review(), review(metric_errors=errors)])
    found = failures(Path(lines))
    assert list(found) == ["bleu"]
    assert found["bleu"].startswith("LookupError: Resource 'punkt_tab' not found.") and found["bleu"].endswith("…")
    assert failures(tmp_path / "gone.jsonl") == {}


def test_a_failing_run_says_why(tmp_path):
    job = eval_job(tmp_path, eval_dataset=["gsm8k"])
    task = {"datasets": ["gsm8k"]}  # this interpreter has no evalscope
    with pytest.raises(
        SwiftError, match=r"ended with code 1: .*No module named 'evalscope'.* Its log is .*evalscope.log"
    ):
        _run(job, Path(sys.executable), task, tmp_path)


def environment():
    return venvs.find("evalscope")


NEEDS_EVALSCOPE = pytest.mark.skipif(
    not (os.environ.get("SWIFT_TEST_EVALSCOPE") == "1" or environment().ready),
    reason="EvalScope's environment is not made: swift env create evalscope, or SWIFT_TEST_EVALSCOPE=1",
)


@NEEDS_EVALSCOPE
def test_evalscope_and_csv_agree_on_the_same_prompts(tmp_path):
    lessons = [
        {"query": f"{q}\nA) {a}\nB) {b}\nC) {c}\n(A,B,C)", "response": letter} for _, q, a, b, c, letter in TABLE
    ]
    lessons[3]["response"] = "A"  # a wrong lesson: three of four are right
    rows = [row for row in LESSONS if "query" in row]
    model = taught_qwen2(
        tmp_path / "model",
        60,
        dataset=[write_lines(tmp_path / "lessons.jsonl", lessons + rows)],
        per_device_train_batch_size=8,
        learning_rate=1e-2,
    )
    said = {
        "evaluator": ["csv", "evalscope"],
        "eval_dataset": [write_table(tmp_path / "numbers_val.csv", TABLE), write_lines(tmp_path / "qa.jsonl", rows)],
        "csv.choice_prompt": PROMPT,
        "csv.choice_line": "{letter}) {text}",
        "evalscope.choice_prompt": PROMPT,
        "evalscope.qa_prompt": "{question}",
        "api_key": "not-to-be-written",
    }
    out = tmp_path / "out"
    done = run("eval", model=model, template="chatml", max_new_tokens=32, output_dir=str(out), **said)
    ours, qa, theirs, their_qa = done["reports"]
    assert ours["metrics"] == {"accuracy": 0.75, "unanswered": 0}
    assert theirs["metrics"] == {"accuracy": 0.75}
    assert (theirs["name"], theirs["rows"], their_qa["name"]) == ("numbers", 4, "qa")
    assert qa["metrics"]["rouge-l"] == their_qa["metrics"]["rouge-l-f1"] == 1
    asked = {json.loads(line)["prompt"][0]["content"] for line in Path(ours["file"]).read_text("utf-8").splitlines()}
    reviews = [json.loads(line) for line in Path(theirs["file"]).read_text("utf-8").splitlines()]
    assert {r["messages"][0]["content"] for r in reviews} == asked
    for file in out.rglob("*"):  # EvalScope keeps logs, configs and reports there
        assert not file.is_file() or b"not-to-be-written" not in file.read_bytes(), file
    bleu = {name: value for name, value in their_qa["metrics"].items() if name.startswith("bleu")}
    assert bool(bleu) != ("bleu" in their_qa["failed"])  # measured, or said to be missing
