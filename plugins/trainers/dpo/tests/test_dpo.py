"""DPO against TRL's own trainer and a plain computation, text and pictures; and what goes wrong with bad pairs."""

from __future__ import annotations

import copy
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image
from swift_plugin_dpo.losses import LOSSES
from swift_plugin_runtime.alignment.preference import Answers, encode_pairs, joined_pairs
from swift_plugin_runtime.batching.shared_rows import PaddedRows
from swift_testing import TrainerInvariants
from swift_testing.contracts_trainers import unsettle
from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl
from torch.nn.functional import logsigmoid

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data

PAIRS = [
    {"query": "What is the answer?", "response": "It is here.", "rejected_response": "The picture is in the city."},
    {"query": "add 1 2", "response": "3", "rejected_response": "1 2 add add"},
    {
        "messages": [
            {"role": "user", "content": "hello"},
            {"role": "assistant", "content": "Paris."},
            {"role": "user", "content": "天气怎么样?"},
            {"role": "assistant", "content": "今天天气很好。"},
        ],
        "rejected_response": "def add(a, b): return b",
    },
]


class TestContract(TrainerInvariants):
    """Runs, saves and resumes; batches do not matter."""

    name = "dpo"
    rows = PAIRS


def given(**options: Any) -> list[Given]:
    """Options as the command line would give them."""
    return [Given(k, v, "test") for k, v in options.items()]


def write(folder: Path, rows: list[dict[str, Any]]) -> str:
    """Rows as a JSONL file."""
    file = folder / "pairs.jsonl"
    file.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return str(file)


@dataclass
class Bench:
    """A built DPO trainer whose policy has moved away from its reference, one batch, the same one padded, and TRL's
    trainer on copies."""

    trainer: Any
    batch: dict[str, Any]
    padded: dict[str, Any]
    trl: Any

    def ours(self, loss: str, smoothing: float) -> tuple[float, dict[str, torch.Tensor]]:
        """(loss, gradients) of this trainer."""
        method, model = self.trainer.method, self.trainer.model
        method.loss_type, method.label_smoothing = [loss], smoothing
        return gradients(model, lambda: self.trainer.compute_loss(model, self.batch))

    def theirs(self, loss: str, smoothing: float) -> tuple[float, dict[str, torch.Tensor]]:
        """(loss, gradients) of TRL's trainer on the same batch."""
        batch = {k: v for k, v in self.padded.items() if k != "numbers"}
        labels = batch.pop("labels")
        batch["completion_mask"] = (labels != -100).long()
        self.trl.loss_types, self.trl.loss_weights, self.trl.label_smoothing = [loss], [1.0], smoothing
        return gradients(self.trl.model, lambda: self.trl._compute_loss(self.trl.model, batch, False))


def gradients(model: Any, compute: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and every parameter's gradient."""
    model.train()
    model.zero_grad()
    loss = compute()
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return loss.item(), found


def build(model: str, rows: list[dict[str, Any]], folder: Path, **options: Any) -> Any:
    """A prepared job's trainer on `rows`."""
    told = {"tuner": "full", "learning_rate": 1e-3, "output_dir": str(folder / "out"), **options}
    job = prepare("rlhf", given(model=model, dataset=write(folder, rows), **told))
    train, held = load_data(job)
    net, processor = load_model(job)
    net = attach_tuners(job, net)
    return job.hook.build_trainer(job=job, model=net, processor=processor, rows=train, eval_rows=held)


def bench(model: str, rows: list[dict[str, Any]], folder: Path) -> Bench:
    """Our trainer and TRL's, with equal weights."""
    trainer = build(model, rows, folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    pairs = [trainer.train_dataset[i] for i in range(len(rows))]
    batch = trainer.data_collator(pairs)
    assert "layout" in batch
    return Bench(trainer, batch, joined_pairs(PaddedRows(0), pairs), trl_trainer(trainer, folder))


def trl_trainer(trainer: Any, folder: Path) -> Any:
    """TRL's DPOTrainer on copies of the same policy and reference; it sees no data of its own."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    class PreEncoded(DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    settings = DPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        bf16=False,
        report_to=[],
        remove_unused_columns=False,
        max_length=None,
        beta=trainer.method.beta,
    )
    return PreEncoded(
        copy.deepcopy(trainer.model),
        ref_model=copy.deepcopy(trainer.reference.model),
        args=settings,
        train_dataset=Dataset.from_dict({"i": [0]}),
        data_collator=list,
        processing_class=getattr(trainer.processing_class, "tokenizer", trainer.processing_class),
    )


@pytest.fixture(scope="module")
def text(tmp_path_factory: Any) -> str:
    """A tiny language model."""
    return tiny_qwen2(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="module")
def vision(tmp_path_factory: Any) -> str:
    """A tiny vision-language model."""
    return tiny_qwen2_vl(tmp_path_factory.mktemp("qwen2vl"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: Any) -> list[dict[str, Any]]:
    """Pairs about pictures of unequal sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    rows = []
    for number, (size, pair) in enumerate(zip([(56, 56), (84, 56)], PAIRS[:2], strict=True)):
        Image.effect_noise(size, 80).convert("RGB").save(folder / f"{number}.png")
        rows.append({**pair, "images": [str(folder / f"{number}.png")]})
    return rows


@pytest.fixture(scope="module")
def text_bench(text: str, tmp_path_factory: Any) -> Bench:
    return bench(text, PAIRS, tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def vision_bench(vision: str, pictures: Any, tmp_path_factory: Any) -> Bench:
    return bench(vision, pictures, tmp_path_factory.mktemp("vision"))


def assert_equal(ours: Any, theirs: Any) -> None:
    """Loss and gradients agree to float32 accuracy, relative to the largest gradient."""
    (loss, grads), (their_loss, their_grads) = ours, theirs
    assert loss == pytest.approx(their_loss, rel=2e-5, abs=1e-5)
    assert grads.keys() == their_grads.keys()
    largest = max(g.abs().max().item() for g in their_grads.values())
    worst = max((grads[n] - their_grads[n]).abs().max().item() for n in grads)
    assert worst <= 2e-4 * largest + 1e-7


@pytest.mark.parametrize("loss", [name for name in LOSSES if name != "sft"])
def test_loss_and_gradients_equal_trl_on_text(text_bench: Bench, loss: str) -> None:
    smoothing = 0.0 if loss == "sigmoid" else 0.2  # TRL's sigmoid has no smoothing
    assert_equal(text_bench.ours(loss, smoothing), text_bench.theirs(loss, smoothing))


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "apo_zero"])
def test_loss_and_gradients_equal_trl_on_pictures(vision_bench: Bench, loss: str) -> None:
    assert vision_bench.batch["pixel_values"].shape[0] > 0
    assert_equal(vision_bench.ours(loss, 0.0), vision_bench.theirs(loss, 0.0))


@pytest.mark.parametrize("kind", ["text_bench", "vision_bench"])
def test_loss_equals_a_plain_computation_row_by_row(kind: str, request: Any) -> None:
    """DPO eq. 7 from each row alone, unpadded, without the trainer's code; one answer counts half."""
    found: Bench = request.getfixturevalue(kind)
    trainer = found.trainer
    trainer.method.loss_type, trainer.method.label_smoothing = ["sigmoid"], 0.0
    pairs = [tuple(weighed(side) for side in pair) for pair in trainer.train_dataset]
    batch = trainer.data_collator(pairs)
    policy, reference = trainer.model.eval(), trainer.reference.model
    expected = []
    for pair in pairs:
        ahead = [plain_logp(policy, side) - plain_logp(reference, side) for side in pair]
        expected.append(-logsigmoid(0.1 * (ahead[0] - ahead[1])))
    loss = trainer.compute_loss(policy, batch)
    assert loss.item() == pytest.approx(torch.stack(expected).mean().item(), rel=1e-4)


def weighed(side: dict[str, Any]) -> dict[str, Any]:
    """A row of its own, of which nothing is remembered, with a loss scale."""
    return {**{k: v for k, v in side.items() if k != "number"}, "loss_scale": halved(side)}


def halved(side: dict[str, Any]) -> list[float]:
    """A loss scale that lets every other trained token count half."""
    return [(1.0 if i % 2 else 0.5) * (label != -100) for i, label in enumerate(side["labels"])]


@torch.no_grad()
def plain_logp(model: Any, side: dict[str, Any]) -> torch.Tensor:
    """Σ scale · log softmax(logits)[token] over the labelled tokens of one unpadded row."""
    along = {k: torch.tensor([v]) for k, v in side.items() if isinstance(v, list)}
    media = {k: v for k, v in side.items() if isinstance(v, torch.Tensor)}
    labels, scale = along.pop("labels")[0], along.pop("loss_scale")[0]
    logits = model(**along, **media).logits[0].float()
    total = torch.zeros(())
    for place in range(1, len(labels)):
        if labels[place] != -100:
            total += scale[place] * logits[place - 1].log_softmax(-1)[labels[place]]
    return total


def test_pictures_reach_the_policy(vision_bench: Bench) -> None:
    other = {**vision_bench.batch, "pixel_values": -vision_bench.batch["pixel_values"]}
    trainer = vision_bench.trainer
    here, there = (trainer.compare(trainer.model, b)[0].logp for b in (vision_bench.batch, other))
    assert not torch.allclose(here, there)


def test_tokens_are_those_of_sft(text_bench: Bench) -> None:
    """The chosen conversation of a pair is encoded as the same conversation in SFT; shared answers are not trained."""
    trainer = text_bench.trainer
    rows = [
        Row(messages=[{"role": "user", "content": p["query"]}, {"role": "assistant", "content": p["response"]}])
        for p in PAIRS[:2]
    ]
    encoded = trainer.job.hook.encode(job=trainer.job, rows=rows, processor=trainer.processing_class, generation=False)
    assert [{k: v for k, v in trainer.train_dataset[i][0].items() if k != "number"} for i in range(2)] == encoded
    decode = trainer.processing_class.decode
    chosen = trainer.train_dataset[2][0]
    trained = decode(
        [token for token, label in zip(chosen["input_ids"], chosen["labels"], strict=True) if label != -100]
    )
    assert "Paris" in decode(chosen["input_ids"]) and "Paris" not in trained and "今天天气很好" in trained


def test_mixture_and_rpo_add_up() -> None:
    """Weighted losses are summed, and α adds the chosen answer's loss per token."""
    from swift_plugin_dpo import Dpo

    side = Answers(torch.tensor([-4.0]), torch.tensor([-5.0]), torch.tensor([2.0]))
    other = Answers(torch.tensor([-6.0]), torch.tensor([-5.5]), torch.tensor([3.0]))
    method = Dpo(loss_type=["sigmoid", "bco_pair"], loss_weights=[0.8, 0.2], rpo_alpha=0.5, beta=0.1)
    sigmoid = -logsigmoid(torch.tensor(0.1 * 1.5))
    bco = -logsigmoid(torch.tensor(0.1)) - logsigmoid(torch.tensor(0.05))
    assert method.pair_losses(side, other).item() == pytest.approx((0.8 * sigmoid + 0.2 * bco + 0.5 * 2).item())
    with pytest.raises(SwiftError, match="loss_weights has 1 values for 2"):
        Dpo(loss_type=["sigmoid", "ipo"], loss_weights=[1.0]).weighted_losses()
    with pytest.raises(SwiftError, match="label_smoothing above 0"):
        Dpo(loss_type=["exo_pair"]).weighted_losses()


@pytest.mark.parametrize(
    ("tuner", "copied"),
    [(["lora"], False), (["lora", "neftune"], False), (["pissa"], True), (["full"], True)]
    + [(["lora", beside], True) for beside in ("reft", "scedit", "adapter", "restuning", "side")],
)
def test_reference_is_the_model_at_the_start(text: str, tmp_path: Path, tuner: list[str], copied: bool) -> None:
    """A fresh adapter switched off is the reference; a copy is, where that moves the base weights or does not switch
    off all that trains. At the start there is no margin, and when the policy has moved the reference is where it was.
    """
    named = {} if tuner == ["full"] else {"target_modules": ["q_proj", "v_proj"]}
    trainer = build(text, PAIRS, tmp_path, tuner=tuner, **named)
    trainer.model.eval()
    assert (trainer.reference.model is not None) == copied
    batch = trainer.data_collator([trainer.train_dataset[i] for i in range(3)])
    chosen, rejected = trainer.compare(trainer.model, batch)
    assert torch.allclose(chosen.ratio, torch.zeros(3), atol=1e-4)
    assert torch.allclose(rejected.ratio, torch.zeros(3), atol=1e-4)
    assert chosen.reference.abs().min() > 1
    unsettle(trainer)
    asked_anew = {k: v for k, v in batch.items() if k != "numbers"}
    moved = trainer.compare(trainer.model, asked_anew)[0]
    assert torch.equal(trainer.compare(trainer.model, batch)[0].reference, chosen.reference)  # as it was remembered
    assert torch.allclose(moved.reference, chosen.reference, atol=1e-5)
    assert not torch.allclose(moved.logp, chosen.logp, atol=1e-2)


def test_margins_rise_and_are_drawn(text: str, tmp_path: Path) -> None:
    """A run starts without a margin, ends with one, and writes its curves."""
    shared = {"max_steps": 3, "per_device_train_batch_size": 3, "logging_steps": 1, "save_strategy": "no"}
    trainer = build(text, PAIRS, tmp_path, dataset_shuffle=False, warmup_ratio=0.0, rpo_alpha=1.0, **shared)
    trainer.train()
    first, last = (trainer.state.log_history[i] for i in (0, 2))
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-4)
    assert last["rewards/margins"] > first["rewards/margins"] and last["rewards/accuracies"] >= 0.75
    assert (tmp_path / "out" / "curves.png").stat().st_size > 1000


BAD = [
    ({"query": "a", "response": "b"}, r"pairs.jsonl:2: no rejected answer"),
    ({"query": "a", "response": "b", "rejected_response": "b"}, r"pairs.jsonl:2: the chosen and the rejected .* same"),
    (
        {"query": "a", "response": "b", "rejected_messages": [{"role": "user", "content": "a"}]},
        r"pairs.jsonl:2: the last message of the rejected",
    ),
    ({"query": "a", "response": "b", "rejected_response": ""}, r"pairs.jsonl:2.* rejected answer is empty"),
]


@pytest.mark.parametrize(("bad", "message"), BAD)
def test_a_row_without_a_pair_is_named(text: str, tmp_path: Path, bad: Any, message: str) -> None:
    with pytest.raises(SwiftError, match=message):
        build(text, [PAIRS[0], bad], tmp_path)


def test_strict_false_leaves_bad_pairs_out_and_counts(text: str, tmp_path: Path) -> None:
    trainer = build(text, [PAIRS[0], *(row for row, _ in BAD)], tmp_path, strict=False)
    assert len(trainer.train_dataset) == 1
    said = " ".join(trainer.job.notes)
    assert "skipped 1 bad rows" in said and "left out 3 rows without a usable pair" in said


def test_long_pairs_are_dropped_whole(text_bench: Bench) -> None:
    """A pair with one side over max_length is dropped and counted; none left is an error."""
    job = copy.copy(text_bench.trainer.job)
    job.options = SimpleNamespace(**{**vars(job.options), "max_length": 40})
    row = Row(messages=[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], where="x:1")
    row.rejected = [row.messages[0], {"role": "assistant", "content": "c"}]
    long = Row(messages=row.messages, rejected=[row.messages[0], {"role": "assistant", "content": "d " * 60}])
    assert len(encode_pairs(job, [row, long], text_bench.trainer.processing_class)) == 1
    assert "1 of 2 pairs longer than 40" in job.notes[-1]
    with pytest.raises(SwiftError, match="all 1 are longer"):
        encode_pairs(job, [long], text_bench.trainer.processing_class)


def test_what_the_reference_said_is_in_the_checkpoint(tmp_path, monkeypatch):
    """Stopped in the second of three epochs and resumed: the same weights to the bit, and no row is asked twice."""
    from swift_plugin_runtime.alignment.preference import PairTrainer

    from swift_core.api import run

    rows = [{**PAIRS[n % 2], "query": f"What is {'so ' * n}{n}?"} for n in range(6)]
    asked, ask = [], PairTrainer.before
    monkeypatch.setattr(PairTrainer, "before", lambda self, *rest: asked.append(1) or ask(self, *rest))
    shared = {
        "rlhf_type": "dpo", "model": tiny_qwen2(tmp_path / "model"), "dataset": [write(tmp_path, rows)],
        "per_device_train_batch_size": 2, "num_train_epochs": 3, "save_steps": 1, "save_total_limit": 20,
        "learning_rate": 1e-3, "warmup_ratio": 0, "dataset_shuffle": True, "logging_steps": 1,
    }  # fmt: skip
    run("rlhf", output_dir=str(tmp_path / "whole"), **shared)
    assert len(asked) == 3, "Three batches are all rows."
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    for step in range(5, 10):
        shutil.rmtree(tmp_path / "again" / f"checkpoint-{step}")
    run("rlhf", output_dir=str(tmp_path / "again"), resume_from_checkpoint="last", **shared)
    assert len(asked) == 3
    files = [(tmp_path / n / "checkpoint-9" / "adapter_model.safetensors").read_bytes() for n in ("whole", "again")]
    assert files[0] == files[1]
