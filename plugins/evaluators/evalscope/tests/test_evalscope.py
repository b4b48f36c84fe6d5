"""EvalScope itself, where its environment is made; laying out files and reading reports everywhere."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import swift_plugin_evalscope
import yaml
from swift_plugin_evalscope import RUN, EvalScope
from swift_plugin_evalscope.files import lay_out
from swift_plugin_evalscope.offline import offline_args
from swift_plugin_evalscope.reports import failures, metric_name
from swift_testing.serving import LESSONS, taught_qwen2

from swift_core import SwiftError, run
from swift_core.catalogue import venvs
from swift_core.evaluation.programs import run_program
from swift_core.evaluation.sets import eval_sets
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


def the_set(job):
    (eval_set,) = eval_sets(job)
    return eval_set


def test_files_are_laid_out_as_evalscope_reads_them(tmp_path):
    table = write_table(tmp_path / "my numbers_val.csv", TABLE)
    write_table(tmp_path / "my numbers_dev.csv", TABLE[:1])
    history = {"query": "And now?", "response": "Bye.", "history": [["Hi", "Hello"]], "system": "Be brief."}
    lines = write_lines(tmp_path / "qa.jsonl", [{"query": "你好", "response": "你好!"}, history])
    choice, answers = (eval_job(tmp_path, eval_dataset=[file]) for file in (table, lines))
    assert lay_out(choice, the_set(choice), tmp_path / "choice", 1) == ("general_mcq", "my__numbers")
    assert lay_out(answers, the_set(answers), tmp_path / "qa", 1) == ("general_qa", "qa")
    with (tmp_path / "choice" / "my__numbers_val.csv").open(encoding="utf-8") as stream:
        assert list(csv.reader(stream)) == [HEADER, *TABLE]
    assert (tmp_path / "choice" / "my__numbers_dev.csv").is_file()
    written = (tmp_path / "qa" / "qa.jsonl").read_text(encoding="utf-8").splitlines()
    first, second = map(json.loads, written)
    assert first == {"query": "你好", "response": "你好!"}
    assert [m["role"] for m in second["messages"]] == ["system", "user", "assistant", "user"]


def test_data_in_a_folder_gets_the_readme_that_evalscope_wants(tmp_path):
    sets = tmp_path / "sets"
    for name, subset in (("gsm8k", ""), ("ceval", "law_"), ("arc", "")):
        (sets / name).mkdir(parents=True)
        write_lines(sets / name / f"{subset}{'val' if name == 'ceval' else 'test'}.jsonl", [{"question": "1+1?"}])
    job = eval_job(tmp_path, eval_dataset=["gsm8k"], eval_data_dir=str(sets))
    place = tmp_path / "data"
    assert offline_args(job, "gsm8k", place) == {"local_path": str(place), "few_shot_num": 0}
    assert "no train split" in job.notes[-1]
    head = yaml.safe_load((place / "README.md").read_text().split("---")[1])
    assert head == {"configs": [{"config_name": "main", "data_files": [{"split": "test", "path": ["test.jsonl"]}]}]}
    assert (place / "test.jsonl").is_symlink()
    assert offline_args(job, "ceval", tmp_path / "c")["subset_list"] == ["law"]
    with pytest.raises(SwiftError, match=r"holds no rows to ask for arc: .*ARC-Easy/test.jsonl"):
        offline_args(job, "arc", tmp_path / "a")
    with pytest.raises(SwiftError, match=r"has no folder 'gsm8k_v'.*Did you mean 'gsm8k'"):
        offline_args(job, "gsm8k_v", tmp_path / "v")
    (sets / "arc" / "README.md").write_text("---\n---\n")
    assert offline_args(job, "arc", tmp_path / "b") == {"local_path": str(sets / "arc")}, "The user's own is taken."


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (["1", "One?", "un", "", "trois", "A"], "bad.csv:2: .*without a gap"),
        (["1", "One?", "un", "deux", "", "C"], "'C'"),
    ],
)
def test_bad_question_names_its_line(tmp_path, row, words):
    job = eval_job(tmp_path, eval_dataset=[write_table(tmp_path / "bad.csv", [row, TABLE[0]])])
    with pytest.raises(SwiftError, match=words):
        lay_out(job, the_set(job), tmp_path / "data", 0)


def test_rows_with_tools_are_not_for_evalscope(tmp_path):
    lines = write_lines(tmp_path / "tools.jsonl", [row for row in LESSONS if "tools" in row])
    job = eval_job(tmp_path, eval_dataset=[lines])
    with pytest.raises(SwiftError, match=r"tools.jsonl:1: .*text alone; use the evaluators csv or agent"):
        lay_out(job, the_set(job), tmp_path / "data", 0)


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
    words = r"EvalScope ended with code 1: .*No module named 'evalscope'.* Its log is .*log.txt"
    with pytest.raises(SwiftError, match=words):  # this interpreter has none
        run_program("EvalScope", Path(sys.executable), RUN, {"datasets": ["gsm8k"]}, tmp_path, {})


def environment():
    return venvs.find("evalscope")


NEEDS_EVALSCOPE = pytest.mark.skipif(
    os.environ.get("SWIFT_TEST_EVALSCOPE") != "1", reason="EvalScope itself is heavy: make test-evalscope"
)


@NEEDS_EVALSCOPE
def test_the_table_of_names_is_that_of_the_pinned_package():
    script = Path(swift_plugin_evalscope.__file__).with_name("names.py")
    done = subprocess.run([str(environment().create()), str(script)], capture_output=True, text=True, check=True)
    assert done.stdout == EvalScope.benchmarks.read_text(encoding="utf-8")


@NEEDS_EVALSCOPE
def test_a_benchmark_is_measured_on_data_in_a_folder_while_a_model_trains_and_afterwards(tmp_path):
    """gsm8k on rows of our own, without a README and without examples, asked of a model that learns two of three."""
    (tmp_path / "sets" / "gsm8k").mkdir(parents=True)
    sums = [("1 + 1", 2), ("2 + 2", 4), ("3 + 3", 7)]
    asks = [{"question": f"What is {sum_}?", "answer": f"We add.\n#### {total}"} for sum_, total in sums]
    write_lines(tmp_path / "sets" / "gsm8k" / "test.jsonl", asks)
    prompt = "{}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
    answers = [f"\\boxed{{{total}}}" for total in (2, 4, 6)]
    lessons = [{"query": prompt.format(a["question"]), "response": r} for a, r in zip(asks, answers, strict=True)]
    model = taught_qwen2(
        tmp_path / "model", 150, dataset=[write_lines(tmp_path / "lessons.jsonl", lessons)], learning_rate=5e-3,
        eval_benchmarks=["gsm8k"], metric_for_best_model="gsm8k",
        eval_benchmark_args={"eval_data_dir": str(tmp_path / "sets"), "max_new_tokens": 24},
    )  # fmt: skip
    log = [json.loads(line) for line in (Path(model).parent / "logging.jsonl").read_text("utf-8").splitlines()]
    (measured,) = [line for line in log if "eval_gsm8k/accuracy" in line]
    assert (measured["step"], Path(model).name) == (150, "checkpoint-150")
    done = run(
        "eval", model=model, template="chatml", max_new_tokens=24, eval_dataset=["gsm8k"], device="cpu",
        eval_data_dir=str(tmp_path / "sets"), output_dir=str(tmp_path / "out"),
    )  # fmt: skip
    (report,) = done["reports"]
    assert (report["evaluator"], report["name"], report["rows"]) == ("evalscope", "gsm8k", 3)
    assert report["metrics"]["accuracy"] == measured["eval_gsm8k/accuracy"] == pytest.approx(2 / 3, abs=1e-3)


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
