"""Scoring models after training: `swift infer` says labels, scores and vectors; from Python too."""

import json
import math

import pytest

from swift_core import run

ROWS = [
    {"query": "add 1 2", "response": "3", "rejected_response": "city", "label": 1, "positive": "1 2 add"},
    {"query": "hello", "response": "Paris.", "rejected_response": "no", "label": 0, "positive": "city Paris"},
]


@pytest.mark.parametrize(
    ("trainer", "tuner", "told"),
    [
        ("seq_cls", "lora", {"num_labels": 3}),
        ("seq_cls", "full", {"num_labels": 2, "problem_type": "regression"}),
        ("rm", "full", {}),
        ("embedding", "lora", {"pooling": "mean"}),
    ],
)
def test_infer_says_what_the_model_finds(trainer, tuner, told, qwen2, write_rows, tmp_path):
    """The same numbers as the trainer's own model gives for each row."""
    rows = ROWS
    if told.get("problem_type"):
        rows = [{**row, "label": [row["label"], 0.5]} for row in ROWS]
    file = write_rows(rows)
    done = run(
        "train", trainer=trainer, tuner=tuner, model=qwen2, dataset=[file], output_dir=str(tmp_path / "out"),
        num_train_epochs=1, learning_rate=1e-2, **told,
    )  # fmt: skip
    found = run("infer", ckpt_dir=done["checkpoint"], dataset=[file], result_path=str(tmp_path / "r.jsonl"))
    replies = [json.loads(record["response"]) for record in found]
    taught = done["trainer"]
    batch = taught.data_collator(sorted(taught.train_dataset, key=lambda group: group.row.where))
    model = taught.model.eval()
    if trainer == "embedding":
        from swift_plugin_runtime.texts import embed

        wanted = embed(model, batch["texts"], "mean").tolist()[::2]
        assert all(math.isclose(sum(v * v for v in r["embedding"]), 1, rel_tol=1e-4) for r in replies)
        assert [r["embedding"] for r in replies] == [pytest.approx(v, abs=1e-4) for v in wanted]
        return
    scores = taught.scores(model, batch).tolist()
    if trainer == "rm":
        assert [r["score"] for r in replies] == [pytest.approx(s[0], abs=1e-4) for s in scores[::2]]
    elif told.get("problem_type"):
        assert [r["values"] for r in replies] == [pytest.approx(s, abs=1e-4) for s in scores]
    else:
        assert [r["label"] for r in replies] == [s.index(max(s)) for s in scores]
        assert all(len(r["probabilities"]) == 3 for r in replies)
