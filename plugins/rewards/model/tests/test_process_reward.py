"""A real, tiny process reward model as reward, and in rejection sampling beside an outcome."""

from __future__ import annotations

import json

import pytest
import torch
from swift_testing.contracts import ComponentContract, write_rows
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.evaluation.rewards import score_all
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs import sample

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module", params=[1, 2], ids=["one output", "two outputs"])
def prm(base, tmp_path_factory, request):
    return judge(base, tmp_path_factory.mktemp("prm"), request.param)


def judge(base, folder, labels, template=CHATML):
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.add_tokens(["<extra_0>"], special_tokens=True)
    tokenizer.chat_template = template
    model = AutoModelForTokenClassification.from_pretrained(base, num_labels=labels)
    model.resize_token_embeddings(len(tokenizer))
    with torch.no_grad():
        model.score.weight.normal_(std=0.1)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def job_for(base, prm, **options):
    told = {"model": base, "device": "cpu", "reward": ["process_reward_model"], "prm": prm, **options}
    return prepare("rlhf", [Given(k, v, "test") for k, v in told.items()])


ROWS = [Row([{"role": "user", "content": text}]) for text in ("What is 1 + 2?", "Why?", "And?")]
ANSWERS = ["First 1.\n\nThen 2.\n\nIt is 3.", "So.", ""]


def by_hand(prm, row, steps):
    """The probability of each step, from the model's own hidden states and its head's weights."""
    from transformers import AutoModelForTokenClassification, AutoTokenizer

    model, tokenizer = AutoModelForTokenClassification.from_pretrained(prm).eval(), AutoTokenizer.from_pretrained(prm)
    found, text = [], f"<|im_start|>user\n{row.messages[0]['content']}<|im_end|>\n<|im_start|>assistant\n"
    for step in steps:
        text += step + "<extra_0>"
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            numbers = model.model(ids).last_hidden_state[0, -1] @ model.score.weight.T + model.score.bias
        odds = numbers[0] if len(numbers) == 1 else numbers[1] - numbers[0]
        found.append(1 / (1 + (-odds).exp().item()))
    return found


def test_each_step_has_the_models_own_probability(base, prm):
    wanted = by_hand(prm, ROWS[0], ["First 1.", "Then 2.", "It is 3."])
    assert max(wanted) - min(wanted) > 1e-3
    for size in (1, 3):
        job = job_for(base, prm, prm_batch_size=size)
        found = job.one("reward").judged(job, ROWS, ANSWERS)
        assert found[0] == pytest.approx(wanted, rel=1e-3)
        assert found[1] == pytest.approx(by_hand(prm, ROWS[1], ["So."]), rel=1e-3) and found[2] == []
    reduced = {
        "min": min(wanted),
        "product": wanted[0] * wanted[1] * wanted[2],
        "last": wanted[2],
        "mean": sum(wanted) / 3,
    }
    for how, value in reduced.items():
        assert score_all(job_for(base, prm, prm_reduce=how), ROWS, ANSWERS)[0] == pytest.approx([value], rel=1e-3)


def test_rejection_sampling_weighs_process_and_outcome(base, prm, tmp_path):
    rows = write_rows(tmp_path, [{"query": "What is 1 + 2?", "solution": "3"}])
    told = {
        "model": base, "device": "cpu", "dataset": [rows], "reward": ["accuracy", "process_reward_model"], "prm": prm,
        "num_return_sequences": 4, "keep": 1, "temperature": 1.0, "max_new_tokens": 12, "max_batch_size": 4,
        "output_file": str(tmp_path / "samples.jsonl"), "prm_separator": " ", "stop_words": list("aeiou "), "top_k": 50,
    }  # fmt: skip
    job = prepare("sample", [Given(k, v, "test") for k, v in told.items()])
    sample.run(job)
    (line,) = [json.loads(x) for x in (tmp_path / "samples.jsonl.drawn").read_text().splitlines()]
    kept = [json.loads(x) for x in (tmp_path / "samples.jsonl").read_text().splitlines()]
    assert line["drawn"] == 4 and 0 < line["best"] < 1
    assert kept, "no answer ended"
    for row in kept:
        again = job.many("reward")[1].component.score(job, [ROWS[0]], [row["messages"][-1]["content"]])[0]
        assert row["rewards"]["process_reward_model"] == pytest.approx(again, rel=1e-3)


def test_what_cannot_judge_is_refused(base, tmp_path):
    with pytest.raises(SwiftError, match="needs --prm"):
        score_all(job_for(base, ""), ROWS, ANSWERS)
    with pytest.raises(SwiftError, match="knows no token '<step>'; say --prm_step_token"):
        score_all(job_for(base, judge(base, tmp_path / "a", 2), prm_step_token="<step>"), ROWS, ANSWERS)
    with pytest.raises(SwiftError, match="has no chat template"):
        score_all(job_for(base, judge(base, tmp_path / "b", 2, None)), ROWS, ANSWERS)


class TestProcessRewardModel(ComponentContract):
    """It loads, and says what it is and takes."""

    kind, name = "reward", "process_reward_model"
