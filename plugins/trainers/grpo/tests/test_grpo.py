"""GRPO against TRL's own loss, text and pictures; rollouts, advantages, repeated steps, and rewards that misbehave."""

from __future__ import annotations

import copy
import dataclasses
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from swift_plugin_grpo import Grpo
from swift_plugin_grpo.trainer import divergence, group_advantages, policy_losses, token_weights
from swift_plugin_runtime.rollouts.policy import PromptOrder
from swift_plugin_runtime.rollouts.rollout import Rollout, learning_row, media_tokens, roll_out
from swift_testing import RewardedInvariants
from swift_testing.contracts_trainers import with_pictures
from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl
from torch.nn import functional

from swift_core import SwiftError, hookimpl
from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.contract.engine import Reply, Sampling
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.resume import find_resume
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data

QUESTIONS = [
    {"query": "What is the answer?", "solution": "1"},
    {"query": "add 1 2 and then add 3 again"},
    {"messages": [{"role": "system", "content": "You count."}, {"role": "user", "content": "0 1 2"}]},
]


class TestContract(RewardedInvariants):
    """Runs, saves and resumes; batches do not matter.

    They do by the nature of `--loss_type bnpo`, which weighs tokens within each pass (`micro_batch_size`).
    """

    name = "grpo"
    rows = [*QUESTIONS, {"query": "hello"}]
    options = {"reward": "odd", "num_generations": 2, "max_completion_length": 8}


class RewardOf:
    """A reward made from a function of (completion) for the tests."""

    swift_api = 1

    def __init__(self, function: Any):
        self.function = function

    @hookimpl
    def score(self, rows: Any, completions: list[str]) -> Any:
        return self.function(rows, completions)


def digits(rows: Any, completions: list[str]) -> list[float]:
    """The share of an answer's characters that are digits."""
    return [sum(c.isdigit() for c in text) / max(1, len(text)) for text in completions]


def length(rows: Any, completions: list[str]) -> list[float]:
    """Minus a tenth of the answer's length in characters."""
    return [-len(text) / 10 for text in completions]


def catalogue(**functions: Any) -> Catalogue:
    """Everything installed and a reward for each function."""
    module = ModuleType("grpo_test_rewards")
    sys.modules[module.__name__] = module
    found = Catalogue(list(Catalogue.installed().entries))
    for name, function in functions.items():
        setattr(module, name, RewardOf(function))
        found.entries.append(Entry("reward", name, "pytest", "0", "", f"{module.__name__}:{name}"))
    return found


def build(model: str, rows: list[dict[str, Any]], folder: Path, rewards: Any = None, **options: Any) -> Any:
    """A prepared GRPO job's trainer on `rows`; its rewards are functions."""
    folder.mkdir(exist_ok=True)
    file = folder / "prompts.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    rewards = rewards or {"digits": digits}
    told = {
        "model": model,
        "dataset": str(file),
        "trainer": "grpo",
        "reward": list(rewards),
        "tuner": "full",
        "learning_rate": 1e-3,
        "output_dir": str(folder / "out"),
        "num_generations": 4,
        "max_completion_length": 12,
        "per_device_train_batch_size": len(rows),
        "save_strategy": "no",
        "logging_steps": 1,
        **options,
    }
    job = prepare("rlhf", [Given(k, v, "test") for k, v in told.items()], catalogue(**rewards))
    train, held = load_data(job)
    resume = find_resume(job)
    net, processor = load_model(job, resume)
    net = attach_tuners(job, net, resume)
    return job.hook.build_trainer(job=job, model=net, processor=processor, rows=train, eval_rows=held)


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
    """Questions about pictures of unequal sizes, and one without a picture."""
    return [*with_pictures(QUESTIONS[:2], tmp_path_factory.mktemp("pictures")), QUESTIONS[2]]


@dataclass
class Bench:
    """A trainer whose policy has moved on since its rollout, the rollout's answers, and TRL's trainer on a copy."""

    trainer: Any
    answers: list[dict[str, Any]]
    trl: Any


def bench(model: str, rows: list[dict[str, Any]], folder: Path) -> Bench:
    """A rollout of every prompt, then a policy that moved; advantages are set at random, so that none is zero."""
    trainer = build(model, rows, folder, num_iterations=2, beta=0.1, temperature=0.7)
    rollout = trainer.roll_out([[trainer.train_dataset[i] for i in range(len(rows))]])
    trainer.cache_logps(rollout)
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.02)
    answers = rollout[0]["answers"]
    for row in answers:
        row["advantage"] = float(torch.randn(()))
    return Bench(trainer, answers, trl_trainer(trainer, answers, folder))


def trl_trainer(trainer: Any, answers: list[dict[str, Any]], folder: Path) -> Any:
    """TRL's GRPOTrainer on a copy of the policy; media of the answers are given to its forward pass by hand."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    class WithMedia(GRPOTrainer):
        def _get_per_token_logps_and_entropies(self, model: Any, ids: Any, mask: Any, keep: int, **_: Any) -> Any:
            logits = (
                model(input_ids=ids, attention_mask=mask, **self.media).logits[:, -keep - 1 : -1] / self.temperature
            )
            logps = logits.log_softmax(-1).gather(-1, ids[:, -keep:, None])[..., 0]
            return logps, torch.zeros_like(logps), None

    method = trainer.method
    settings = GRPOConfig(
        output_dir=str(folder / "trl"),
        use_cpu=True,
        bf16=False,
        report_to=[],
        beta=method.beta,
        temperature=method.temperature,
        epsilon=method.epsilon,
        num_generations=4,
        per_device_train_batch_size=4,
        gradient_accumulation_steps=1,
        max_completion_length=12,
        use_bias_correction_kl=False,
    )
    theirs = WithMedia(
        copy.deepcopy(trainer.model),
        reward_funcs=lambda **_: [0.0],
        args=settings,
        train_dataset=Dataset.from_dict({"prompt": ["x"]}),
        processing_class=getattr(trainer.processing_class, "tokenizer", trainer.processing_class),
    )
    theirs.current_gradient_accumulation_steps = 1
    theirs.media = left_padded(answers)[1]
    return theirs


def left_padded(answers: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(TRL's batch: prompts padded on the left, answers on the right; the media tensors) of learning rows."""
    split = [next(i for i, label in enumerate(row["labels"]) if label != -100) for row in answers]
    longest, most = max(split), max(len(r["labels"]) - s for r, s in zip(answers, split, strict=True))

    def laid(values: list[list[Any]]) -> torch.Tensor:
        padded = [
            functional.pad(torch.tensor(v), (longest - s, most - (len(v) - s)))
            for v, s in zip(values, split, strict=True)
        ]
        return torch.stack(padded)

    ids, mask = laid([r["input_ids"] for r in answers]), laid([[1] * len(r["input_ids"]) for r in answers])
    batch = {
        "prompt_ids": ids[:, :longest],
        "prompt_mask": mask[:, :longest],
        "completion_ids": ids[:, longest:],
        "completion_mask": mask[:, longest:],
        "advantages": torch.tensor([r["advantage"] for r in answers]),
    }
    if "old_logps" in answers[0]:
        batch["old_per_token_logps"] = laid([r["old_logps"] for r in answers])[:, longest:]
    media = {
        k: torch.cat([r[k] for r in answers if k in r])
        for k in ("pixel_values", "image_grid_thw")
        if any(k in r for r in answers)
    }
    if media:
        media["mm_token_type_ids"] = laid([r.get("mm_token_type_ids", [0] * len(r["labels"])) for r in answers])
    return batch, media


@pytest.fixture(scope="module")
def text_bench(text: str, tmp_path_factory: Any) -> Bench:
    return bench(text, QUESTIONS, tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="module")
def vision_bench(vision: str, pictures: Any, tmp_path_factory: Any) -> Bench:
    return bench(vision, pictures, tmp_path_factory.mktemp("vision"))


def gradients(model: Any, compute: Any) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss and every parameter's gradient."""
    model.train()
    model.zero_grad()
    loss = compute()
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return loss.item(), found


def compare(found: Bench, loss: str) -> None:
    """Loss and gradients of ours and TRL's agree to float32 accuracy."""
    trainer, trl = found.trainer, found.trl
    trainer.method.loss_type, trainer.method.epsilon_high = loss, 0.3
    ours = gradients(trainer.model, lambda: trainer.compute_loss(trainer.model, trainer.collate(found.answers)))
    batch, media = left_padded(found.answers)
    trl.loss_type = "grpo" if loss == "gspo" else loss
    trl.importance_sampling_level = "sequence" if loss == "gspo" else "token"
    trl.epsilon_high = 1.3 if loss == "cispo" else 0.3  # TRL's bound for CISPO is the ratio itself
    trl.media = media
    batch["num_items_in_batch"] = batch["completion_mask"].sum()
    batch["ref_per_token_logps"] = trl._get_per_token_logps_and_entropies(
        trainer.reference.model,
        torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1),
        torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
        batch["completion_ids"].shape[1],
    )[0].detach()
    theirs = gradients(trl.model, lambda: trl._compute_loss(trl.model, batch))
    assert ours[0] == pytest.approx(theirs[0], rel=1e-4, abs=1e-6)
    largest = max(g.abs().max().item() for g in theirs[1].values())
    assert largest > 1e-4
    for name, gradient in theirs[1].items():
        assert (ours[1][name] - gradient).abs().max().item() <= 1e-3 * largest, name


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo", "sapo"])
def test_loss_and_gradients_equal_trl_on_text(text_bench: Bench, loss: str) -> None:
    compare(text_bench, loss)


@pytest.mark.parametrize("loss", ["grpo", "gspo"])
def test_loss_and_gradients_equal_trl_on_pictures(vision_bench: Bench, loss: str) -> None:
    compare(vision_bench, loss)


def test_the_clip_is_at_work_in_the_comparison(text_bench: Bench) -> None:
    trainer = text_bench.trainer
    trainer.method.loss_type, trainer.figures = "grpo", {}
    trainer.compute_loss(trainer.model, trainer.collate(text_bench.answers))
    total, count = trainer.figures["clip_ratio"]
    assert 0 < total / count < 1
    assert trainer.figures["kl"][0] > 0


def test_advantages_are_relative_to_the_group() -> None:
    rewards = torch.tensor([[1.0, 0.0, 0.0, 1.0], [2.0, 2.0, 2.0, 2.0]])
    by_group = group_advantages(rewards, "group")
    assert by_group[0].tolist() == pytest.approx([0.8659, -0.8659, -0.8659, 0.8659], abs=1e-3)  # 0.5 / std 0.577
    assert by_group[1].tolist() == [0, 0, 0, 0]
    assert group_advantages(rewards, "none")[0].tolist() == [0.5, -0.5, -0.5, 0.5]
    assert group_advantages(rewards, "batch", torch.tensor(0.25))[0, 0].item() == pytest.approx(2, abs=1e-3)


def test_an_answer_without_a_reward_is_none_of_its_group() -> None:
    nan = math.nan
    rewards = torch.tensor([[1.0, nan, 0.0, 0.0], [nan, nan, 3.0, nan], [nan, nan, nan, nan]])
    third = torch.tensor([[1.0, 0.0, 0.0]])
    whole = group_advantages(third, "group")[0].tolist()
    assert group_advantages(rewards, "group").tolist() == [[whole[0], 0, *whole[1:]], [0] * 4, [0] * 4]
    assert group_advantages(rewards, "none")[0].tolist() == pytest.approx([2 / 3, 0, -1 / 3, -1 / 3])


def test_the_loss_of_a_group_with_abstentions_is_that_of_the_other_answers(text: str, tmp_path: Path) -> None:
    """Of 8 answers, every reward abstains on 2; one more is judged by the second reward alone."""
    one, two = [0.5, None, None, 1.0, 0.0, 0.25, None, 1.0], [1.0, None, 2.0, 0.0, 1.0, 3.0, None, 0.5]
    rewards = {"one": lambda *_: one, "two": lambda *_: two}
    trainer = build(text, QUESTIONS[:2], tmp_path, rewards, reward_weights=[2.0, 0.5], beta=0.1)
    rollout = trainer.roll_out([list(trainer.train_dataset)])
    rows = rollout[0]["answers"]
    sums = [1.5, math.nan, 1.0, 2.0, 0.5, 2.0, math.nan, 2.25]
    expected = group_advantages(torch.tensor(sums).view(2, 4), "group").flatten().tolist()
    assert [row["advantage"] for row in rows] == pytest.approx(expected)
    judged = [row for row, value in zip(rows, sums, strict=True) if not math.isnan(value)]
    assert trainer.totals(rollout)[0] == 6 and len(judged) == 6
    totals = trainer.totals(rollout)
    whole = trainer.compute_loss(trainer.model, trainer.collate(rows), num_items_in_batch=totals)
    others = trainer.compute_loss(trainer.model, trainer.collate(judged), num_items_in_batch=totals)
    assert whole.item() == pytest.approx(others.item(), abs=1e-6)
    figures = {name: round(total / count, 4) for name, (total, count) in trainer.figures.items()}
    assert figures["rewards/abstained"] == 0.25
    assert figures["reward"] == round((1.5 + 1.0 + 2.0 + 0.5 + 2.0 + 2.25) / 6, 4)
    assert figures["rewards/one"] == 0.55 and figures["rewards/two"] == 1.25


def test_losses_by_hand() -> None:
    """Two answers of 1 and 3 tokens: what each way of averaging makes of a loss of 1 per token, and the clip."""
    mask = torch.tensor([[1.0, 0, 0], [1, 1, 1]])
    worth = {"grpo": (0.5, 1 / 6), "dapo": (0.25, 0.25), "bnpo": (0.25, 0.25), "dr_grpo": (0.05, 0.05)}
    for loss, (first, second) in worth.items():
        weights = token_weights(mask, Grpo(loss_type=loss, max_completion_length=10), 2, 4)
        assert (weights[0, 0].item(), weights[1, 2].item()) == pytest.approx((first, second)), loss
        assert weights[0, 1] == 0
    one = torch.zeros(1, 1)
    for ratio, advantage, expected, clipped in [(1.5, 1.0, -1.2, 1), (1.5, -1.0, 1.5, 0), (0.5, -1.0, 0.8, 1)]:
        loss, cut = policy_losses(one + math.log(ratio), one, one + advantage, one + 1, Grpo())
        assert (loss.item(), cut.item()) == pytest.approx((expected, clipped))
    assert divergence(torch.tensor(-2.0), torch.tensor(-1.0)).item() == pytest.approx(math.e - 2)


def test_k3_estimates_the_divergence() -> None:
    """Over all tokens that π may draw its mean is KL(π ‖ π_ref), with both distributions written out."""
    logps, reference = torch.randn(2, 7, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    exact = (logps.exp() * (logps - reference)).sum().item()
    assert (logps.exp() * divergence(logps, reference)).sum().item() == pytest.approx(exact, rel=1e-5)
    assert divergence(logps, reference).min() >= 0 and exact > 0.1


def drawn(trainer: Any, prompts: list[Any], sampling: Sampling, seed: int = 0) -> list[Rollout]:
    """One answer of the model under training to each prompt."""
    return roll_out(trainer.job, trainer.policy_engine.own(), trainer.processing_class, prompts, sampling, seed)


def ids_of(rollouts: list[Rollout]) -> list[list[int]]:
    """The tokens of each rollout's last answer."""
    return [rollout.turns[-1][1].ids for rollout in rollouts]


@pytest.mark.parametrize(("kind", "options"), [("text", {}), ("vision", {}), ("text", {"top_k": 5})])
def test_a_group_drawn_is_likely_under_the_model(
    kind: str, options: Any, request: Any, pictures: Any, tmp_path: Path
) -> None:
    """Learning rows hold prompt and answer; greedy draws are the argmax of the same rows' logits; seeds repeat."""
    rows = pictures if kind == "vision" else QUESTIONS
    trainer = build(request.getfixturevalue(kind), rows, tmp_path, **options)
    prompts = [p for p in trainer.train_dataset for _ in range(2)]
    state = torch.get_rng_state()
    first, again, other = (ids_of(drawn(trainer, prompts, trainer.sampling, seed)) for seed in (1, 1, 2))
    assert torch.equal(state, torch.get_rng_state())
    assert first == again != other
    together = roll_out(
        trainer.job, trainer.policy_engine.own(), trainer.processing_class, prompts, trainer.sampling, 1, together=2
    )
    assert ids_of(together) == first, "Which answers are drawn together changes them."
    greedy = dataclasses.replace(trainer.sampling, max_new_tokens=12, temperature=0.0)
    for rollout in drawn(trainer, prompts[::2], greedy):
        ((request, reply),) = rollout.turns
        row = learning_row(rollout)
        start = len(request.prompt["input_ids"])
        assert row["labels"] == [-100] * start + reply.ids
        inputs = {k: v for k, v in trainer.join([row]).items() if k not in ("labels", "layout")}
        never = torch.tensor(media_tokens(trainer.model.config), dtype=torch.long)
        logits = trainer.model(**inputs).logits[0, start - 1 : -1].index_fill(-1, never, -torch.inf)
        assert logits.argmax(-1).tolist() == reply.ids


def test_an_answer_ends_at_its_end_token(text: str, tmp_path: Path) -> None:
    """With the end token made certain every answer is that token alone, ended, and its text empty."""
    trainer = build(text, QUESTIONS, tmp_path, mask_truncated=True)
    end = trainer.processing_class.convert_tokens_to_ids("<|im_end|>")
    prompts = list(trainer.train_dataset)
    cut = drawn(trainer, prompts, trainer.sampling)
    assert all(c.cut for c in cut if end not in c.turns[0][1].ids)
    with torch.no_grad():
        trainer.model.lm_head.weight[:] = 0
        trainer.model.lm_head.weight[end] = 1000 * trainer.model.model.norm.weight
        trainer.model.model.norm.weight.abs_()
    hook = trainer.model.lm_head.register_forward_hook(lambda _m, _i, out: out.index_fill(-1, torch.tensor([end]), 1e4))
    ended = drawn(trainer, prompts, trainer.sampling)
    hook.remove()
    assert [(c.turns[0][1].ids, c.text, c.cut) for c in ended] == [([end], "", False)] * 3
    masked = Rollout([(prompts[0], Reply("x", "length", ids=[5, 6]))])
    assert set(trainer.answer_row(masked)["labels"]) == {-100}


def test_an_order_repeats_whole_steps() -> None:
    plain = PromptOrder(5, 2, 1, None)
    assert list(plain) == [0, 1, 2, 3, 4] and len(plain) == 5
    twice = PromptOrder(5, 2, 2, None)
    assert list(twice) == [0, 1, 0, 1, 2, 3, 2, 3, 4, 0, 4, 0] and len(twice) == 12
    shuffled = PromptOrder(50, 2, 1, 7)
    first = list(shuffled)
    shuffled.set_epoch(1)
    assert sorted(first) == list(range(50)) and first != list(shuffled)


def test_passes_and_accumulation_make_no_difference(text: str, tmp_path: Path) -> None:
    """Four prompts in one batch and pass equal four batches of one prompt, two answers a pass; two steps a rollout."""
    rows = [*QUESTIONS, {"query": "Final Answer"}]
    ends = []
    for size, passes in [(4, 16), (1, 2)]:
        trainer = build(
            text,
            rows,
            tmp_path / str(size),
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
            micro_batch_size=passes,
            max_steps=4,
            num_iterations=2,
            dataset_shuffle=False,
            loss_type="dapo",
            warmup_ratio=0.0,
            learning_rate=2e-3,
        )
        trainer.train()
        ends.append(trainer)
    history = [[line["reward"] for line in t.state.log_history if "reward" in line] for t in ends]
    assert len(history[0]) == 2  # drawn anew every second step only
    assert history[0] == pytest.approx(history[1])
    for one, other in zip(ends[0].model.parameters(), ends[1].model.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-4)


def test_learns_what_is_rewarded_and_logs_it(text: str, tmp_path: Path) -> None:
    """From random weights the share of digits rises; each reward, KL and lengths are logged, evaluated and drawn."""
    trainer = build(
        text,
        [{"query": f"add {i} {i + 1}"} for i in range(8)],
        tmp_path,
        {"digits": digits, "length": length},
        reward_weights=[1.0, 0.02],
        max_steps=12,
        learning_rate=1e-2,
        split_dataset_ratio=0.25,
        num_generations=8,
        save_strategy="steps",
        save_steps=6,
        load_best_model_at_end=True,
        max_completion_length=8,
        beta=0.01,
        lr_scheduler_type="constant",
    )
    before = trainer.evaluate()
    trainer.train()
    after = trainer.evaluate()
    assert after["eval_rewards/digits"] > before["eval_rewards/digits"] + 0.3
    line = next(line for line in reversed(trainer.state.log_history) if "loss" in line)
    assert {"reward", "reward_std", "rewards/digits", "rewards/length/std", "kl", "clip_ratio"} <= line.keys()
    assert line["kl"] > 0 and line["completions/length"] <= 8 and 0 <= line["completions/cut"] <= 1
    assert line["reward"] == pytest.approx(line["rewards/digits"] + 0.02 * line["rewards/length"], abs=1e-5)
    assert trainer.state.best_metric == pytest.approx(
        max(line["eval_reward"] for line in trainer.state.log_history if "eval_reward" in line and line["step"])
    )
    assert (tmp_path / "out" / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_a_resumed_run_ends_as_an_uninterrupted_one(text: str, tmp_path: Path, tuner: str) -> None:
    """Rollouts depend on seed and step alone, and the reference is the first start's: resuming changes nothing."""
    settings = {
        "max_steps": 4,
        "save_strategy": "steps",
        "save_steps": 2,
        "per_device_train_batch_size": 1,
        "learning_rate": 5e-3,
        "beta": 1.0,
        "tuner": tuner,
    }
    whole = build(text, QUESTIONS, tmp_path, **settings)
    whole.train()
    middle = str(tmp_path / "out" / "checkpoint-2")
    again = build(text, QUESTIONS, tmp_path, **settings, resume_from_checkpoint=middle)
    assert (again.reference.model is None) == (tuner == "lora")
    again.train(resume_from_checkpoint=middle)
    for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(one, other)


def raises(rows: Any, completions: list[str]) -> list[float]:
    """A reward that fails on one row."""
    return [1.0 if row.where.endswith(":1") else 1 / 0 for row in rows]


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda rows, texts: [0.0], r"reward bad: 1 values for 12 answers, the first to .*prompts.jsonl:1"),
        (lambda rows, texts: None, "reward bad: NoneType for 12 answers"),
        (lambda rows, texts: [0.0] * 11 + [math.nan], r"reward bad: gave nan for .*prompts.jsonl:3"),
        (lambda rows, texts: ["x"] * 12, "reward bad: gave 'x'"),
        (raises, r"reward bad failed on .*prompts.jsonl:2: ZeroDivisionError: division by zero"),
    ],
)
def test_a_bad_reward_is_named_with_its_row(text: str, tmp_path: Path, function: Any, message: str) -> None:
    trainer = build(text, QUESTIONS, tmp_path, {"bad": function})
    with pytest.raises(SwiftError, match=message):
        trainer.roll_out([list(trainer.train_dataset)])


def test_what_cannot_be_rolled_out_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="grpo learns from rewards"):
        build(text, QUESTIONS, tmp_path, reward=[])
    with pytest.raises(SwiftError, match="reward_weights has 2 values"):
        build(text, QUESTIONS, tmp_path, reward_weights=[1.0, 2.0])
    with pytest.raises(SwiftError, match="max_length 12 leaves no prompt"):
        build(text, QUESTIONS, tmp_path, max_length=12)
    with pytest.raises(SwiftError, match="does not support packing: answers are drawn"):
        build(text, QUESTIONS, tmp_path, packing=True)
    with pytest.raises(SwiftError, match=r"prompts.jsonl:2: a prompt of \d+ tokens"):
        build(text, QUESTIONS, tmp_path, max_length=40, truncation_strategy="raise")
    trainer = build(text, QUESTIONS, tmp_path, max_length=40)
    assert 0 < len(trainer.train_dataset) < 3 and "longer than 28 tokens" in trainer.job.notes[-1]


def test_a_row_that_asks_nothing_is_named_or_left_out(text: str, tmp_path: Path) -> None:
    rows = [QUESTIONS[0], {"messages": [{"role": "system", "content": "You count."}]}]
    with pytest.raises(SwiftError, match=r"prompts.jsonl:2: the row has no question"):
        build(text, rows, tmp_path)
    trainer = build(text, rows, tmp_path, strict=False)
    assert len(trainer.train_dataset) == 1
    assert any("1" in note and "prompts.jsonl:2" in note for note in trainer.job.notes), trainer.job.notes


def test_an_empty_answer_is_learnt_from_as_its_end_token(text: str, tmp_path: Path) -> None:
    """An answer that ends at once trains the token that ended it; one without any token costs nothing."""
    trainer = build(text, QUESTIONS[:1], tmp_path, num_generations=2)
    prompt = trainer.train_dataset[0]
    end = trainer.processing_class.convert_tokens_to_ids("<|im_end|>")
    rows = [trainer.answer_row(Rollout([(prompt, Reply("", ids=ids))])) for ids in ([end], [])]
    trainer.compute_advantages(rows, torch.tensor([1.0, 0.0]))
    loss = trainer.compute_loss(trainer.model, trainer.collate(rows))
    assert sum(label != -100 for row in rows for label in row["labels"]) == 1 and loss.isfinite()


def test_answers_hold_no_placeholders_of_media(vision: str, pictures: Any, tmp_path: Path) -> None:
    """An image token in an answer would ask for a picture that is not there: even the likeliest is not drawn."""
    trainer = build(vision, pictures[:2], tmp_path)
    image = trainer.model.config.image_token_id
    trainer.model.lm_head.register_forward_hook(lambda _m, _i, out: out.index_fill(-1, torch.tensor([image]), 50.0))
    rows = trainer.roll_out([list(trainer.train_dataset)])[0]["answers"]
    assert not any(
        image in [i for i, label in zip(r["input_ids"], r["labels"], strict=True) if label != -100] for r in rows
    )
    assert trainer.compute_loss(trainer.model, trainer.collate(rows)).isfinite()
