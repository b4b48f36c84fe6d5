"""The reward model against TRL's trainer and a plain computation, text and pictures; margins; adapters with a head."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_plugin_rm import pair_losses
from swift_plugin_runtime.batching.shared_rows import PaddedRows
from swift_plugin_runtime.loading.processor import pad_id_of
from swift_testing import TrainerInvariants
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import assert_same_gradients, build_trainer, gradients, unsettle, with_pictures
from torch.nn.functional import logsigmoid

from swift_core import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_adapters, load_model

PAIRS = [
    {"query": "What is the answer?", "response": "It is here.", "rejected_response": "The city.", "margin": 0.5},
    {"query": "add 1 2", "response": "3", "rejected_response": "1 2 add add"},
    {"query": "hello", "response": "Paris.", "rejected_response": "def add(a, b): return b", "margin": 1},
    {"query": "天气怎么样?", "response": "今天天气很好。", "rejected_response": "no"},
]


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "rm"
    rows = PAIRS


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: Any) -> Any:
    """A trainer on text whose head has left its start."""
    found = build_trainer(tiny_model("qwen2"), PAIRS, tmp_path_factory.mktemp("rm"), trainer="rm")
    unsettle(found)
    return found


@pytest.fixture(scope="module")
def vision(tmp_path_factory: Any) -> Any:
    """A trainer on pictures of unequal sizes."""
    folder = tmp_path_factory.mktemp("rm-vl")
    rows = with_pictures(PAIRS[:2], folder)
    found = build_trainer(tiny_model("qwen2_vl"), rows, folder, trainer="rm")
    unsettle(found)
    return found


def whole(trainer: Any) -> dict[str, Any]:
    """All rows as one batch."""
    return trainer.data_collator(list(trainer.train_dataset))


def padded(trainer: Any) -> dict[str, Any]:
    """The texts of all rows, padded."""
    texts = [text for group in trainer.train_dataset for text in group.texts]
    return PaddedRows(pad_id_of(trainer.processing_class))(texts)


def test_loss_and_gradients_equal_trl(trainer: Any, tmp_path: Path) -> None:
    """Bradley-Terry with margins and centring."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    class PreEncoded(RewardTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    settings = RewardConfig(
        output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to=[], remove_unused_columns=False,
        max_length=None, center_rewards_coefficient=0.1,
    )  # fmt: skip
    theirs = PreEncoded(
        copy.deepcopy(trainer.model), args=settings, train_dataset=Dataset.from_dict({"i": [0]}), data_collator=list,
        processing_class=trainer.processing_class,
    )  # fmt: skip
    batch = whole(trainer)
    order = torch.tensor([0, 2, 4, 6, 1, 3, 5, 7])  # theirs has all chosen answers first
    assert "layout" in batch["texts"]
    inputs = {k: v[order] for k, v in padded(trainer).items()} | {"margin": torch.tensor([0.5, 0.0, 1.0, 0.0])}
    trainer.method.center_rewards_coefficient = 0.1
    assert_same_gradients(
        gradients(trainer.model, lambda: trainer.compute_loss(trainer.model, batch)),
        gradients(theirs.model, lambda: theirs.compute_loss(theirs.model, inputs)),
    )
    trainer.method.center_rewards_coefficient = 0.0


@pytest.mark.parametrize("kind", ["trainer", "vision"])
def test_loss_equals_a_plain_computation(kind: str, request: Any) -> None:
    """Each text alone, unpadded: the head's product with the last hidden state, then eq. 1."""
    found = request.getfixturevalue(kind)
    model = found.model.eval()
    losses = []
    for group in found.train_dataset:
        scores = []
        for text in group.texts:
            inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in text.items()}
            hidden = model.model(**inputs).last_hidden_state[0, -1]
            scores.append(model.score.weight[0] @ hidden)
        losses.append(-logsigmoid(scores[0] - scores[1] - (group.row.extra.get("margin") or 0)))
    loss = found.compute_loss(model, whole(found))
    assert loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-4)


def test_pictures_reach_the_score(vision: Any) -> None:
    batch = whole(vision)
    other = {"texts": {**batch["texts"], "pixel_values": -batch["texts"]["pixel_values"]}}
    assert not torch.allclose(vision.scores(vision.model, batch), vision.scores(vision.model, other))


def test_margin_and_centre() -> None:
    """Worked by hand: scores 1 and 0 with margin 1 tie; the centre adds the square of the sum."""
    one, zero = torch.tensor([1.0]), torch.tensor([0.0])
    assert pair_losses(one, zero, one).item() == pytest.approx(0.693147, abs=1e-5)
    assert pair_losses(one, zero, one, 0.5).item() == pytest.approx(0.693147 + 0.5, abs=1e-5)


@pytest.mark.parametrize("family", ["qwen2", "qwen2_vl"])
def test_an_adapter_with_its_head_gives_the_same_scores(family: str, tmp_path: Path) -> None:
    """LoRA trains the new head whole and saves it; a job given the checkpoint loads model and head."""
    trainer = build_trainer(tiny_model(family), PAIRS, tmp_path, trainer="rm", tuner="lora")
    unsettle(trainer)
    trained = [n for n, p in trainer.model.named_parameters() if p.requires_grad]
    assert all("lora_" in n or "score" in n for n in trained) and any("score" in n for n in trained)
    unsettle_base(trainer, tiny_model(family))
    trainer.save_model(str(tmp_path / "saved"))
    told = {"ckpt_dir": str(tmp_path / "saved"), "device": "cpu"}
    job = prepare("export", [Given(k, v, "test") for k, v in told.items()])
    again = load_adapters(job, load_model(job)[0]).eval()
    again.config.get_text_config().pad_token_id = trainer.model.config.get_text_config().pad_token_id
    batch = {"texts": padded(trainer)}
    with torch.no_grad():
        assert torch.allclose(trainer.scores(again, batch), trainer.scores(trainer.model.eval(), batch), atol=1e-4)


def unsettle_base(trainer: Any, path: str) -> None:
    """Put the frozen weights back to the checkpoint's, so that only what is saved differs from it."""
    fresh = load_model(prepare("train", [Given(k, v, "t") for k, v in {"model": path, "trainer": "rm"}.items()]))[0]
    base = trainer.model.get_base_model()
    state = fresh.state_dict()
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            plain = name.replace(".base_layer", "")
            if plain in state and "score" not in name:
                parameter.copy_(state[plain])


def test_scores_separate_after_some_steps(tmp_path: Path) -> None:
    trainer = build_trainer(
        tiny_model("llama"), PAIRS, tmp_path, trainer="rm", max_steps=8, per_device_train_batch_size=4
    )
    trainer.train()
    lines = [line for line in trainer.state.log_history if "rewards/margins" in line]
    assert lines[-1]["rewards/margins"] > lines[0]["rewards/margins"] + 0.5
    assert lines[-1]["rewards/accuracies"] == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({**PAIRS[0], "margin": "much"}, r"rows.jsonl:2: margin must be a finite number, found 'much'"),
        ({**PAIRS[0], "margin": float("nan")}, r"rows.jsonl:2: margin must be a finite number, found nan"),
        ({"query": "a", "response": "b"}, r"rows.jsonl:2: no rejected answer"),
    ],
)
def test_a_bad_row_is_named_or_left_out(bad: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match=message):
        build_trainer(tiny_model("qwen2"), [PAIRS[0], bad], tmp_path, trainer="rm")
    trainer = build_trainer(tiny_model("qwen2"), [PAIRS[0], bad], tmp_path, trainer="rm", strict=False)
    assert len(trainer.train_dataset) == 1 and "left out 1 rows" in " ".join(trainer.job.notes)
