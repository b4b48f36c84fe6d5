"""A real, tiny reward model as reward."""

from __future__ import annotations

import pytest
import torch
from swift_testing.contracts import ComponentContract
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.evaluation.rewards import score_all
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CHATML = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("base"))


def classifier(base, folder, labels=1, template=CHATML):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=labels)
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = template
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def reward(base, tmp_path_factory):
    return classifier(base, tmp_path_factory.mktemp("reward"))


def job_for(base, reward, **options):
    told = {"model": base, "device": "cpu", "reward": ["reward_model"], "reward_model.reward_model": reward, **options}
    return prepare("rlhf", [Given(k, v, "test") for k, v in told.items()])


def row(text):
    return Row([{"role": "system", "content": "Be kind."}, {"role": "user", "content": text}])


def test_the_reward_is_the_models_own_output_one_by_one_and_in_batches(base, reward):
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    rows, answers = [row("Hi"), row("Why?"), row("你好")], ["Hello!", "", "A much longer answer, 你好, 42."]
    model = AutoModelForSequenceClassification.from_pretrained(reward).eval()
    tokenizer = AutoTokenizer.from_pretrained(reward)
    wanted = []
    for r, answer in zip(rows, answers, strict=True):
        said = [("system", "Be kind."), ("user", r.messages[1]["content"]), ("assistant", answer)]
        text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in said)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            hidden = model.model(ids).last_hidden_state[0, -1]
        wanted.append([(model.score.weight[0] @ hidden).item()])
    for size in (1, 2, 8):
        found = score_all(job_for(base, reward, reward_model_batch_size=size), rows, answers)
        assert [s[0] for s in found] == pytest.approx([s[0] for s in wanted], rel=1e-3, abs=1e-5)
    assert len({round(s[0], 6) for s in wanted}) == 3


def test_what_is_no_reward_model_is_refused(base, tmp_path):
    with pytest.raises(SwiftError, match="has 3 outputs; a reward model has one"):
        score_all(job_for(base, classifier(base, tmp_path / "three", 3)), [row("Hi")], ["x"])
    with pytest.raises(SwiftError, match="has no chat template"):
        score_all(job_for(base, classifier(base, tmp_path / "bare", 1, None)), [row("Hi")], ["x"])
    with pytest.raises(SwiftError, match=r"needs --reward_model\.reward_model"):
        score_all(job_for(base, ""), [row("Hi")], ["x"])


class TestRewardModel(ComponentContract):
    """It loads, and says what it is and takes."""

    kind, name = "reward", "reward_model"
