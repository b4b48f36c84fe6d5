"""Rows that a training method cannot use: named with file and line, or left out and counted, for every method."""

from __future__ import annotations

import csv
import json
from typing import Any

import pytest
from swift_testing.contracts import catalogue, tiny_model, write_rows

from swift_core import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data

CHAT = {"query": "add 1 2", "response": "3"}
PAIR = {**CHAT, "rejected_response": "4"}
TEXTS = {"query": "add 1 2", "positive": "3", "negative": "4"}
ASKED = {"query": "add 1 2", "solution": "3"}

EMPTY_ANSWER = ({"query": "a", "response": ""}, "the assistant says nothing")
UNPAIRED = (CHAT, "no rejected answer")
REWARDED = {"reward": "accuracy", "max_completion_length": 8}
LONG = "word " * 90

METHODS: dict[str, tuple[dict[str, Any], list[tuple[dict[str, Any], str]], dict[str, Any]]] = {
    "pt": ({"response": "some text"}, [({"response": ""}, "the assistant says nothing")], {"template": "plain"}),
    "sft": (CHAT, [EMPTY_ANSWER, ({"messages": [{"role": "user", "content": "a"}]}, "nothing to learn")], {}),
    **{
        name: (PAIR, [UNPAIRED, ({**PAIR, "rejected_response": ""}, "rejected answer is empty")], {})
        for name in ("dpo", "orpo", "cpo", "simpo")
    },
    "rm": (PAIR, [UNPAIRED, ({**PAIR, "margin": "much"}, "margin must be a finite number")], {}),
    "kto": ({**CHAT, "label": True}, [({**CHAT, "label": "yes"}, "true or false"), (CHAT, "true or false")], {}),
    "gkd": (CHAT, [EMPTY_ANSWER], {"teacher_model": "tiny", "max_completion_length": 8}),
    "seq_cls": (
        {**CHAT, "label": 1},
        [(CHAT, "a class number"), ({**CHAT, "label": 7}, "a class number")],
        {"num_labels": 2},
    ),
    "embedding": (TEXTS, [(CHAT, "column positive"), ({**TEXTS, "positive": ""}, "not empty")], {}),
    **{
        name: (TEXTS, [(CHAT, "needs documents"), ({**TEXTS, "negative": [" "]}, "not empty")], more)
        for name, more in (
            ("reranker", {}),
            ("generative_reranker", {"positive_token": "a", "negative_token": "b", "prompt": "{query} {document}"}),
        )
    },
    **{
        name: (ASKED, [({"messages": [], "solution": "3"}, "no messages")], REWARDED)
        for name in ("grpo", "rloo", "reinforce_plus_plus", "ppo")
    },
}


def built(name: str, rows: list[dict[str, Any]], folder: Any, **changes: Any) -> Any:
    """(job, trainer) of a method on `rows`."""
    told = {"trainer": name, "model": tiny_model("qwen2"), "device": "cpu", "tuner": "full", **METHODS[name][2]}
    told |= {"dataset": [write_rows(folder, rows)], "output_dir": str(folder / "out"), **changes}
    if told.get("teacher_model"):
        told["teacher_model"] = told["model"]
    job = prepare("train", [Given(k, v, "test") for k, v in told.items()], catalogue())
    train, held = load_data(job)
    model, processor = load_model(job)
    model = attach_tuners(job, model)
    return job, job.hook.build_trainer(job=job, model=model, processor=processor, rows=train, eval_rows=held)


def test_every_method_is_here() -> None:
    # those of Megatron-Core are the same methods on another engine, which wants a GPU: its own tests hold them to ours
    names = {entry.name for entry in catalogue().of_kind("trainer")}
    assert METHODS.keys() == {name for name in names if not name.startswith("megatron_")}


@pytest.mark.parametrize("name", METHODS)
def test_a_bad_row_is_named_or_left_out_and_counted(name: str, tmp_path: Any) -> None:
    good, bad, _ = METHODS[name]
    for row, message in bad:
        with pytest.raises(SwiftError, match=rf"rows.jsonl:2.*{message}"):
            built(name, [good, row], tmp_path)
    job, trainer = built(name, [good, good, *(row for row, _ in bad)], tmp_path, strict=False)
    assert len(trainer.train_dataset) == 2
    said = " ".join(job.notes)
    counted = sum(f"{verb} {n} " in said for verb in ("skipped", "left out") for n in range(1, 3))
    assert counted and "rows.jsonl:3" in said


@pytest.mark.parametrize("name", METHODS)
def test_a_row_over_the_limit_is_named_or_dropped_and_counted(name: str, tmp_path: Any) -> None:
    good = METHODS[name][0]
    long = {**good, "response": LONG} if name == "pt" else {**good, "query": LONG}
    with pytest.raises(SwiftError, match=r"rows.jsonl:2.*max_length"):
        built(name, [good, long], tmp_path, max_length=80, truncation_strategy="raise")
    job, trainer = built(name, [good, good, long], tmp_path, max_length=80)
    assert len(trainer.train_dataset) == 2
    assert "1 of 3" in " ".join(job.notes)


@pytest.mark.parametrize("name", METHODS)
def test_a_table_feeds_every_method(name: str, tmp_path: Any) -> None:
    """A CSV holds text alone: labels, numbers and lists are read from it."""
    good = METHODS[name][0]
    cells = {k: v if isinstance(v, str) else json.dumps(v) for k, v in good.items()}
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        table = csv.DictWriter(stream, list(cells), delimiter=";")
        table.writeheader()
        table.writerows([cells, cells])
    job, trainer = built(name, [], tmp_path, dataset=[str(tmp_path / "rows.csv")])
    assert len(trainer.train_dataset) == 2
    assert not any("skipped" in note or "left out" in note for note in job.notes)
