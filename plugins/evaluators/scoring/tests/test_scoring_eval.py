"""Metrics by hand and against numpy; each form of rows with a model that answers it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from swift_plugin_scoring_eval import metrics
from swift_testing.contracts import tiny_model, write_rows

from swift_core import SwiftError, run

CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12)
NUMBERS = st.lists(st.tuples(st.integers(-5, 5), st.integers(-5, 5)), min_size=2, max_size=12)


def test_rankings_worked_by_hand() -> None:
    """Relevant documents at places 1 and 3 of four, and at place 2 of two."""
    rankings = [[True, False, True, False], [False, True]]
    found = metrics.of_rankings(rankings)
    assert found["accuracy"] == 1 / 2 and found["MRR"] == (1 + 1 / 2) / 2
    assert found["MAP"] == pytest.approx(((1 + 2 / 3) / 2 + 1 / 2) / 2)
    best = 1 + 1 / math.log2(3)
    assert found["nDCG@10"] == pytest.approx(((1 + 1 / 2) / best + 1 / math.log2(3)) / 2)
    assert metrics.recall(rankings, 1) == (1 / 2 + 0) / 2 and metrics.recall(rankings, 3) == 1


@given(CLASSES)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(pairs) -> None:
    wanted, found = map(list, zip(*pairs, strict=True))
    each = []
    for c in {*wanted, *found}:
        hits = pairs.count((c, c))
        precision, recall = hits / max(1, found.count(c)), hits / max(1, wanted.count(c))
        each.append(2 * precision * recall / (precision + recall) if hits else 0)
    ours = metrics.of_classes(wanted, found)
    assert ours == {"accuracy": sum(a == b for a, b in pairs) / len(pairs), "F1": pytest.approx(np.mean(each))}


def test_class_sets_worked_by_hand() -> None:
    """Class 0 is found in one of two texts, class 1 in both; a class of neither side is not counted."""
    found = metrics.of_class_sets([{0, 1}, {0, 1}, set()], [{0, 1}, {1}, set()])
    assert found == {"exact": 2 / 3, "micro F1": 6 / 7, "macro F1": (2 / 3 + 1) / 2}


@given(NUMBERS)
def test_correlations_equal_numpy(pairs) -> None:
    """Pearson is numpy's, on ranks too; a rank counts what is less, and half of what is equal."""
    wanted, found = map(list, zip(*pairs, strict=True))
    ours = metrics.of_numbers(wanted, found)
    if len(set(wanted)) == 1 or len(set(found)) == 1:
        assert ours["Pearson"] == ours["Spearman"] == 0
        return
    placed = [[sum(w < v for w in side) + (side.count(v) + 1) / 2 for v in side] for side in (wanted, found)]
    assert metrics.ranks(wanted) == placed[0]
    assert ours["Pearson"] == pytest.approx(np.corrcoef(wanted, found)[0, 1], abs=1e-9)
    assert ours["Spearman"] == pytest.approx(np.corrcoef(*placed)[0, 1], abs=1e-9)


ROWS = {
    "rm": [
        {"query": "hello", "response": "Paris.", "rejected_response": "add add"},
        {"query": "add 1 2", "response": "3", "rejected_response": "city"},
    ],
    "seq_cls": [{"query": "hello", "label": 1}, {"query": "add 1 2", "label": 0}],
    "reranker": [
        {"query": "add 1 2", "positive": "3", "negative": ["hello", "Paris"]},
        {"query": "hello", "positive": "hello city", "negative": ["1 2 3"]},
    ],
    "embedding": [
        {"query": "add 1 2", "positive": "3", "negative": ["Thought", "Paris"]},
        {"query": "hello", "positive": "hello city"},
    ],
}
METRICS = {
    "rm": {"accuracy", "margin"},
    "seq_cls": {"accuracy", "F1"},
    "reranker": {"accuracy", "MRR", "MAP", "nDCG@10"},
    "embedding": {"accuracy", "MRR", "MAP", "nDCG@10", "recall@1", "recall@5", "recall@10"},
}


def trained(method: str, file: str, folder, **told) -> str:
    """A checkpoint that has learnt the rows by heart."""
    done = run(
        "train", trainer=method, tuner="full", model=tiny_model("qwen2"), dataset=[file], output_dir=str(folder),
        max_steps=12, per_device_train_batch_size=2, learning_rate=1e-2, save_strategy="no", device="cpu", **told,
    )  # fmt: skip
    return done["checkpoint"]


@pytest.mark.parametrize("method", ROWS)
def test_a_model_that_learnt_its_rows_scores_best(method: str, tmp_path) -> None:
    """Each method's checkpoint on the rows it has learnt by heart: all its shares are 1."""
    file = write_rows(tmp_path, ROWS[method])
    told = {"num_labels": 2} if method == "seq_cls" else {}
    checkpoint = trained(method, file, tmp_path / "out", **told)
    done = run(
        "eval", ckpt_dir=checkpoint, evaluator=["scoring"], eval_dataset=[file], output_dir=str(tmp_path / "eval"),
        device="cpu",
    )  # fmt: skip
    (report,) = done["reports"]
    assert report["metrics"].keys() == METRICS[method] and report["rows"] == 2
    shares = {name: value for name, value in report["metrics"].items() if name not in report["numbers"]}
    assert shares == dict.fromkeys(shares, 1.0)
    assert report["metrics"].get("margin", 1) > 0.1
    assert len(Path(report["file"]).read_text().splitlines()) == 2


def test_columns_that_do_not_fit_are_named(tmp_path) -> None:
    """Rows of two forms, rows of none, and a model that writes."""
    told = {"model": tiny_model("qwen2"), "evaluator": ["scoring"], "output_dir": str(tmp_path), "max_new_tokens": 4}
    mixed = write_rows(tmp_path, [ROWS["rm"][0], ROWS["seq_cls"][0]])
    with pytest.raises(
        SwiftError, match=r"rows.jsonl:2: the columns are those of labels, but the first row's .* pairs"
    ):
        run("eval", eval_dataset=[mixed], **told)
    plain = write_rows(tmp_path, [{"query": "a", "response": "b"}])
    with pytest.raises(SwiftError, match=r"rows.jsonl:1: nothing to measure: give a rejected answer"):
        run("eval", eval_dataset=[plain], **told)
    asked = write_rows(tmp_path, [{"query": "a", "label": 1}])
    with pytest.raises(SwiftError, match=r"need a model that gives 'label' or 'labels' or 'values', but it gave text"):
        run("eval", eval_dataset=[asked], **told)


def test_numbers_and_similarities_are_correlated(tmp_path) -> None:
    """A regression with two outputs, and cosines against labels."""
    numbers = write_rows(
        tmp_path, [{"query": "hello", "label": [0.0, 2.0]}, {"query": "add 1 2", "label": [1.0, -1.0]}]
    )
    alike = write_rows(tmp_path, [{"query": "a", "positive": "b", "label": y} for y in (1, 0.2)], "alike.jsonl")
    asked = {"evaluator": ["scoring"], "device": "cpu"}
    told = {"num_labels": 2, "problem_type": "regression"}
    checkpoint = trained("seq_cls", numbers, tmp_path / "out", **told)
    done = run("eval", ckpt_dir=checkpoint, eval_dataset=[numbers], output_dir=str(tmp_path / "eval"), **asked)
    found = done["reports"][0]["metrics"]
    assert found["MSE"] < 1.5 and found["Pearson"] > 0.5
    wanted = [json.loads(line)["wanted"] for line in Path(done["reports"][0]["file"]).read_text().splitlines()]
    assert wanted == [[0.0, 2.0], [1.0, -1.0]]
    with pytest.raises(SwiftError, match="need a model that gives 'embedding', but it gave values"):
        run("eval", ckpt_dir=checkpoint, eval_dataset=[alike], output_dir=str(tmp_path / "eval"), **asked)
