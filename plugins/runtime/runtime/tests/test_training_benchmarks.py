"""Benchmarks while a model trains: the model under training answers, and the best step is the run's outcome."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from swift_testing.contracts import tiny_model

from swift_core import SwiftError, run

LESSONS = [{"query": "Name a colour.", "response": "Blue."}, {"query": "Say hello.", "response": "Hello!"}]


def write_lines(path: Path, rows) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def said(tmp_path):
    """Options of a run that learns two rows by heart, and is asked for them every twenty steps."""
    rows = write_lines(tmp_path / "lessons.jsonl", LESSONS)
    return {
        "model": tiny_model("qwen2"), "dataset": [rows], "template": "chatml", "tuner": ["full"], "device": "cpu",
        "output_dir": str(tmp_path / "out"), "learning_rate": 1e-2, "per_device_train_batch_size": 2, "max_steps": 60,
        "lr_scheduler_type": "constant", "save_steps": 100, "save_only_model": True,
        "eval_benchmarks": [rows], "eval_benchmark_steps": 20, "eval_benchmark_args": {"max_new_tokens": 16},
    }  # fmt: skip


def logged(folder: str) -> dict[int, float]:
    lines = [json.loads(line) for line in Path(folder, "logging.jsonl").read_text().splitlines()]
    return {line["step"]: line["eval_lessons/exact_match"] for line in lines if "eval_lessons/exact_match" in line}


def test_the_model_under_training_answers_and_the_best_step_is_kept(said):
    """Wrong at first, right at last: the first step that was right is the outcome, and answers as it was measured."""
    done = run("sft", **said, metric_for_best_model="lessons/exact_match")
    found = logged(said["output_dir"])
    assert list(found) == [20, 40, 60]
    best = min(step for step, value in found.items() if value == max(found.values()))
    assert max(found.values()) == 1
    assert done["checkpoint"] == str(Path(said["output_dir"], f"checkpoint-{best}"))
    report = json.loads(Path(said["output_dir"], "benchmarks", f"step-{best}", "report.json").read_text())
    assert report["reports"][0]["metrics"]["exact_match"] == 1
    measured = run("eval", model=done["checkpoint"], template="chatml", eval_dataset=said["eval_benchmarks"],
                   device="cpu", max_new_tokens=16, output_dir=said["output_dir"] + "-eval")  # fmt: skip
    assert measured["reports"][0]["metrics"] == report["reports"][0]["metrics"], "The checkpoint is what was measured."


def test_a_run_that_gets_no_better_stops(said):
    """A rate of nothing: the first measurement is the best, and the run stops two later."""
    still = {**said, "learning_rate": 0.0, "eval_benchmark_steps": 2}
    done = run("sft", **still, metric_for_best_model="lessons", early_stopping_patience=2)
    assert list(logged(said["output_dir"])) == [2, 4, 6]
    assert done["checkpoint"].endswith("checkpoint-2")


def test_measuring_changes_nothing_of_the_training(said):
    short = {**said, "max_steps": 12, "eval_benchmark_steps": 5, "logging_steps": 1}
    run("sft", **short)
    alone = {k: v for k, v in short.items() if not k.startswith("eval_benchmark")}
    alone["output_dir"] += "2"
    run("sft", **alone)

    def losses(folder):
        lines = map(json.loads, Path(folder, "logging.jsonl").read_text().splitlines())
        return [line["loss"] for line in lines if "loss" in line]

    assert losses(said["output_dir"]) == losses(alone["output_dir"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"eval_benchmarks": ["gsm9k"]}, r"no benchmark and no file 'gsm9k'. Similar: gsm8k"),
        ({"metric_for_best_model": "lesson/accuracy"}, "none of the benchmarks is called that.*lessons"),
        ({"eval_benchmarks": [], "metric_for_best_model": "gsm8k"}, "say --eval_benchmarks gsm8k"),
        ({"eval_benchmark_args": {"max_new_tokns": 3}}, "Did you mean 'max_new_tokens'"),
        ({"fsdp": True, "launcher": "torchrun"}, "asks a whole model, and fsdp splits it"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_the_model_is_loaded(said, changes, words):
    with pytest.raises(SwiftError, match=words):
        run("sft", **{**said, **changes})
    assert not Path(said["output_dir"]).exists()


def test_bad_rows_of_a_benchmark_are_found_before_the_model_is_loaded(said, tmp_path):
    bad = write_lines(tmp_path / "bad.jsonl", [{"query": "x"}])
    with pytest.raises(SwiftError, match=r"bad.jsonl"):
        run("sft", **{**said, "eval_benchmarks": [bad]})
    assert not Path(said["output_dir"]).exists()
