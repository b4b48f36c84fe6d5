"""Contracts of training: tuners, optimizers, trainers, rewards, launchers."""

from __future__ import annotations

import copy
import functools
import json
import math
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swift_core.contract.capability import Unsupported
from swift_core.contract.components import Component, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.data.convert import to_row
from swift_core.job.lockfile import LOCK_FILE
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.templates.encode import IGNORED
from swift_testing.contracts import CHAT, ComponentContract, tiny_model, write_rows
from swift_testing.contracts_model import logits_of, open_checkpoint
from swift_testing.steps import ids_of, learn, near, optimizer_of, step_of_job, train_step


class Tuned(NamedTuple):
    """A tiny model with the tuner attached.

    before: its parameters then. base: the base model's logits. original: the base model's parameters.
    """

    job: Job
    model: Any
    processor: Any
    before: dict[str, Any]
    base: Any
    original: dict[str, Any]


class Trained(NamedTuple):
    """What `steps` steps made of a tuned model.

    start, end: its logits before and after. declared: parameter → whether it trained when training began.
    folder: where it was saved. optimizer: what trained it.
    """

    tuned: Tuned
    losses: list[float]
    start: Any
    end: Any
    declared: dict[str, bool]
    folder: str
    optimizer: Any


class TunerContract(ComponentContract):
    """A tuner, alone and beside LoRA: it trains what it says; saved, loaded or merged it answers the same."""

    kind = "tuner"
    families: tuple[str, ...] = ("qwen2", "llama")
    """Tiny models it is tried on; `qwen2_vl` is another, for tuners that name multimodal models."""
    trains = ""
    """A regex searched in parameter names: these parameters train, and no others."""
    rewrites = r"^$"
    """A regex of frozen parameters that attaching changes: a start taken out of the base weights."""
    identity_at_start = False
    """Whether the model with the fresh tuner answers exactly as the base model does."""
    merges = True
    """Whether it can be folded into plain weights; if not, asking for it is refused with the reason."""
    needs_rows = False
    """Whether it looks at the rows of --dataset before it starts."""
    learning_rate = 0.01
    steps = 6

    def tune(self, family: str, **options: Any) -> Tuned:
        """A fresh tiny model with this tuner attached."""
        import torch

        torch.manual_seed(0)
        folder = tiny_model(family)
        rows: dict[str, Any] = {"dataset": [write_rows(folder, CHAT * 2)]} if self.needs_rows else {}
        job = self.job(model=folder, **rows, **options)
        model, processor = load_model(job)
        base, original = logits_of(model), _copies(model)
        model = attach_tuners(job, model)
        return Tuned(job, model, processor, _copies(model), base, original)

    @pytest.fixture(scope="class")
    def trained(self, request: Any, tmp_path_factory: Any) -> Callable[[str], Trained]:
        """Family → the tuned model after training, made once."""
        return functools.cache(lambda family: self.train(family, str(tmp_path_factory.mktemp(family))))

    def train(self, family: str, folder: str) -> Trained:
        """Tune, train and save one tiny model."""
        from swift_plugin_runtime.training.trainer import save_trained

        tuned = self.tune(family)
        start = logits_of(tuned.model)
        declared = {n: p.requires_grad for n, p in tuned.model.named_parameters()}
        optimizer = optimizer_of(tuned.model, self.learning_rate)
        losses = [step_of_job(tuned.job, tuned.model, optimizer, n, self.steps) for n in range(self.steps)]
        save_trained(tuned.job, tuned.model, tuned.processor, folder)
        return Trained(tuned, losses, start, logits_of(tuned.model), declared, folder, optimizer)

    def load(self, folder: str, **options: Any) -> tuple[Job, Any, Any]:
        """(job, model, processor) of a saved checkpoint, as `--ckpt_dir` opens it."""
        return open_checkpoint(folder, **options)

    def each_family(self) -> Iterator[str]:
        """The families, each named in what a failing assertion prints."""
        for family in self.families:
            print(f"family: {family}")
            yield family

    def test_trains_what_it_declares(self, trained: Any) -> None:
        """Exactly the parameters whose names match `trains` require gradients; only `rewrites` may have changed."""
        wanted = re.compile(self.fact("trains", "a regex of the parameter names that train, for instance r'lora_'."))
        for family in self.each_family():
            tuned, declared = trained(family).tuned, trained(family).declared
            for name, trains in declared.items():
                said = bool(wanted.search(name))
                assert trains == said, f"{name} {'trains' if trains else 'does not train'}; `trains` says otherwise."
            _same_as_original(tuned, re.compile(self.rewrites))

    def test_starts_as_the_base_model(self, trained: Any) -> None:
        """With `identity_at_start`, attaching changes no answer."""
        for family in self.each_family():
            tuned, start = trained(family).tuned, trained(family).start
            if self.identity_at_start:
                assert near(start, tuned.base), "The fresh tuner changes the model's answers."
            assert start.isfinite().all(), "The fresh tuner makes logits that are not finite."

    def test_learns_and_leaves_the_rest_alone(self, trained: Any) -> None:
        """A few steps lower the loss; no frozen parameter changes by a bit."""
        for family in self.each_family():
            tuned, losses = trained(family).tuned, trained(family).losses
            assert losses[-1] < losses[0], f"{self.steps} steps at {self.learning_rate}: losses {losses}."
            for name, parameter in tuned.model.named_parameters():
                same = parameter.detach().equal(tuned.before[name])
                assert same or parameter.requires_grad, f"{name} is frozen and changed all the same."

    def test_learns_the_same_with_gradient_checkpointing(self, trained: Any) -> None:
        """Recomputed activations give the gradients that kept ones give."""
        if isinstance(self.capability("gradient_checkpointing"), Unsupported):
            return
        for family in self.each_family():
            model = copy.deepcopy(trained(family).tuned.model)
            kept = _gradients(model)
            model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            again = _gradients(model)
            assert kept and kept.keys() == again.keys(), f"Gradient lost: {sorted(kept.keys() ^ again.keys())[:3]}."
            for name, gradient in kept.items():
                assert near(gradient, again[name]), f"{name} gets another gradient under gradient checkpointing."

    def test_packed_rows_teach_what_padded_ones_do(self, trained: Any) -> None:
        """Rows laid end to end give the loss and the gradients of the same rows padded; or a pack is refused."""
        if isinstance(self.capability("packing"), Unsupported):
            assert self.job().objection("packing"), "The job does not hear that packs are unsupported."
            return
        for family in self.each_family():
            padded, packed = (_learned(trained(family).tuned, packed) for packed in (False, True))
            assert packed.keys() == padded.keys(), f"Gradient lost: {_first_other(packed, padded)}."
            for name, value in padded.items():
                assert near(value, packed[name]), f"{name}: another {'' if name == 'loss' else 'gradient '}packed."

    def capability(self, feature: str) -> Any:
        """What the tuner says of a feature."""
        return declared(self.component, Component, "capabilities").get(feature)

    def test_trains_in_bfloat16(self) -> None:
        """In half precision: gradients are finite, and the model keeps its type."""
        import torch

        tuned = self.tune(self.families[0], torch_dtype="bfloat16")
        losses = learn(tuned.model, 2, self.learning_rate, tuned.job)
        assert all(map(math.isfinite, losses)), f"Losses in bfloat16: {losses}."
        assert tuned.model(input_ids=ids_of(tuned.model)).logits.dtype is torch.bfloat16

    def test_saved_and_loaded_it_answers_the_same(self, trained: Any) -> None:
        """What training writes, `--ckpt_dir` opens: a fresh model with the saved tuner gives the same logits."""
        for family in self.each_family():
            _, again, _ = self.load(trained(family).folder)
            assert near(logits_of(again), trained(family).end), "The saved and loaded model gives other logits."

    def test_resumed_it_trains_on(self, trained: Any) -> None:
        """Loaded to go on, it has the very parameters that it had, in their order, and takes the same next step."""
        one = trained(self.families[0])
        job, never_stopped = one.tuned.job, copy.deepcopy(one.tuned.model)
        resumed = attach_tuners(job, load_model(job, one.folder)[0], one.folder)
        there, now = _trained(never_stopped), _trained(resumed)
        assert list(now) == list(there), f"Other parameters train, or in another order: {_first_other(now, there)}."
        differing = [n for n in now if not now[n].detach().equal(there[n].detach())]
        assert not differing, f"Another value after resuming: {differing[:3]}."
        for model in (never_stopped, resumed):
            optimizer = optimizer_of(model, self.learning_rate)
            optimizer.load_state_dict(copy.deepcopy(one.optimizer.state_dict()))
            step_of_job(job, model, optimizer, self.steps - 1, self.steps)
        for name, parameter in now.items():
            assert near(parameter.detach(), there[name].detach()), f"{name}: another step after resuming."

    def test_a_fresh_process_answers_the_same(self, trained: Any) -> None:
        """Nothing of the process that trained is needed to load what was saved."""
        from swift_testing.fresh import logits_in_a_fresh_process

        one = trained(self.families[0])
        assert near(logits_in_a_fresh_process(one.folder), one.end), "A fresh process gives other logits."

    def test_merged_it_is_a_plain_checkpoint(self, trained: Any, tmp_path: Path) -> None:
        """transformers alone loads the merged model, and it gives the same logits; or the merge is refused."""
        for family in self.each_family():
            job, model, processor = self.load(trained(family).folder)
            items = [item for item in reversed(job.many("tuner")) if item.folder]
            if not self.merges:
                with pytest.raises(SwiftError):
                    job.call(items[0], "merge_tuner", model=model, name=items[0].label)
                continue
            for item in items:
                model = job.call(item, "merge_tuner", model=model, name=item.label) or model
            folder = str(tmp_path / family)
            job.hook.save_model(job=job, model=model, processor=processor, folder=folder)
            plain, report = type(model).from_pretrained(folder, output_loading_info=True)
            left = [*report["missing_keys"], *report["unexpected_keys"]]
            assert not left, f"The merged checkpoint is not a plain one: {sorted(left)[:3]}. Implement merge_tuner."
            assert type(plain).__module__.startswith("transformers.")
            assert near(logits_of(plain), trained(family).end), "The merged model gives other logits."

    @pytest.mark.parametrize("place", ["before", "behind"])
    def test_beside_lora(self, place: str, tmp_path: Path) -> None:
        """Before or behind `lora` both train, are saved apart, load, go on and merge; or are refused with a reason."""
        from swift_testing.composition import check_beside_lora

        check_beside_lora(self, place == "before", tmp_path)


def _trained(model: Any) -> dict[str, Any]:
    return {n: p for n, p in model.named_parameters() if p.requires_grad}


def _first_other(one: Any, other: Any) -> str:
    return next((f"{a} and {b}" for a, b in zip(one, other, strict=False) if a != b), f"{len(one)} and {len(other)}")


def _learned(tuned: Tuned, packed: bool) -> dict[str, Any]:
    """`loss` and each gradient of some rows, laid end to end or padded, as the trainer batches them."""
    from swift_plugin_runtime.batching.collate import flat_batch, pad_batch
    from swift_plugin_runtime.batching.padding_free import counter_of, keep_rows_apart
    from swift_plugin_runtime.training.trainer import token_losses

    model = copy.deepcopy(tuned.model).train()
    model.zero_grad()
    pictures = _with_pictures(tuned)
    assert not packed or keep_rows_apart(model, pictures), "One row reaches into the next."
    ids = [(ids_of(model)[0, :length] + length).tolist() for length in (5, 9, 12)]
    rows = [{"input_ids": row, "labels": [IGNORED, *row[1:]]} for row in ids] + pictures
    batch = flat_batch(rows, counter_of(model)) if packed else pad_batch(rows, 0)
    loss = token_losses(model, batch, batch.pop("labels"))[0].mean()
    loss.backward()
    return {"loss": loss.detach(), **{n: p.grad for n, p in model.named_parameters() if p.grad is not None}}


def _with_pictures(tuned: Tuned) -> list[dict[str, Any]]:
    """Encoded rows with a picture each, of two sizes; none where the family reads text alone."""
    if "image" not in tuned.job.card.modality:
        return []
    from PIL import Image

    pictures = [Image.linear_gradient("L").resize(size) for size in ((56, 56), (28, 56))]
    rows = [to_row({**row, "images": [picture]}) for row, picture in zip(CHAT, pictures, strict=True)]
    encoded: list[dict[str, Any]] = tuned.job.hook.encode(
        job=tuned.job, rows=rows, processor=tuned.processor, generation=False
    )
    return encoded


def _copies(model: Any) -> dict[str, Any]:
    return {n: p.detach().clone() for n, p in model.named_parameters()}


WRAPPERS = ("base_model.model.", "base_layer.", "original_module.", "modules_to_save.default.", "ln_tuning_layers.")
"""Parts of names that tuners put around the modules of the base model."""


def _same_as_original(tuned: Tuned, rewrites: re.Pattern[str]) -> None:
    """Attaching changed no value of the base model, save those that `rewrites` names; and those it did change."""
    changed = 0
    for name, value in tuned.before.items():
        plain = name
        for wrapper in WRAPPERS:
            plain = plain.replace(wrapper, "")
        there = tuned.original.get(plain)
        if there is not None and there.shape == value.shape and not value.equal(there):
            assert rewrites.search(name), f"Attaching the tuner changed {name}."
            changed += 1
    assert changed or rewrites.pattern == "^$", f"Nothing that `rewrites` names was changed: {rewrites.pattern}."


def _gradients(model: Any) -> dict[str, Any]:
    model.train()
    model.zero_grad()
    ids = ids_of(model)
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


class OptimizerContract(ComponentContract):
    """An optimizer: it trains every trainable parameter, and goes on from its saved state."""

    kind = "optimizer"
    tuner = "full"
    learning_rate = 0.01
    steps = 6

    def build(self) -> tuple[Any, Any]:
        """(model, optimizer) of a job on a tiny model."""
        import torch

        torch.manual_seed(0)
        job = self.job(model=tiny_model("llama"), tuner=[self.tuner], learning_rate=self.learning_rate)
        model = attach_tuners(job, load_model(job)[0])
        return model, job.hook.create_optimizer(job=job, model=model)

    def test_steps_lower_the_loss_and_move_everything(self) -> None:
        """The loss falls, and no trainable parameter is forgotten."""
        model, optimizer = self.build()
        before = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        losses = [train_step(model, optimizer) for _ in range(self.steps)]
        assert losses[-1] < losses[0], f"{self.steps} steps at {self.learning_rate}: losses {losses}."
        still = [n for n, p in model.named_parameters() if n in before and p.detach().equal(before[n])]
        assert not still, f"Never changed: {still[:3]}. Give every trainable parameter to the optimizer."

    def test_goes_on_from_its_saved_state(self) -> None:
        """Stopped and resumed, it takes the very step that it would have taken."""
        model, optimizer = self.build()
        resumed, fresh = self.build()
        for _ in range(2):
            train_step(model, optimizer)
        resumed.load_state_dict(model.state_dict())
        fresh.load_state_dict(copy.deepcopy(optimizer.state_dict()))  # as read from a file
        for pair in ((model, optimizer), (resumed, fresh)):
            train_step(*pair)
        for (name, one), other in zip(model.named_parameters(), resumed.parameters(), strict=True):
            assert one.detach().equal(other.detach()), f"{name} differs after resuming: is all state in state_dict()?"


class TrainerContract(ComponentContract):
    """A training method: a job with it runs, saves whole checkpoints and resumes exactly."""

    kind = "trainer"
    family = "qwen2"
    rows: list[dict[str, Any]] = CHAT * 4
    """Rows of the form that this method learns from."""

    def train(self, folder: Path, **options: Any) -> Any:
        """Run two steps of a job into `folder`; its outcome as the job returns it."""
        values = {"max_steps": 2, "save_steps": 1, "logging_steps": 1, "learning_rate": 1e-3, "model": self.model}
        data = {"dataset": [write_rows(folder.parent, self.rows)], "output_dir": str(folder)}
        job = self.job(**{**values, **data, **options})
        return job.run()

    @property
    def model(self) -> str:
        """The tiny checkpoint that is trained."""
        return tiny_model(self.family)

    def test_two_steps_write_whole_checkpoints(self, tmp_path: Path) -> None:
        """Each step's checkpoint has weights, trainer state and lock; losses are finite numbers."""
        self.train(tmp_path / "run")
        for step in (1, 2):
            folder = tmp_path / "run" / f"checkpoint-{step}"
            lacking = [n for n in ("trainer_state.json", LOCK_FILE) if not (folder / n).is_file()]
            assert not lacking, f"{folder.name} lacks {', '.join(lacking)}."
            assert list(folder.glob("*.safetensors")), f"{folder.name} holds no weights."
        state = json.loads((tmp_path / "run" / "checkpoint-2" / "trainer_state.json").read_text())
        losses = [line["loss"] for line in state["log_history"] if "loss" in line]
        assert len(losses) == 2 and all(map(math.isfinite, losses)), f"Losses of the two steps: {losses}."

    def test_resumes_as_if_never_stopped(self, tmp_path: Path) -> None:
        """From the first checkpoint on, the second step is the same to the bit."""
        from safetensors.torch import load_file

        self.train(tmp_path / "whole")
        start = shutil.copytree(tmp_path / "whole" / "checkpoint-1", tmp_path / "parts" / "checkpoint-1")
        self.train(tmp_path / "parts", resume_from_checkpoint=str(start))
        for file in (tmp_path / "whole" / "checkpoint-2").glob("*.safetensors"):
            whole, parts = load_file(file), load_file(tmp_path / "parts" / "checkpoint-2" / file.name)
            differing = [n for n, value in whole.items() if not value.equal(parts[n])]
            assert not differing, f"After resuming, {file.name} differs in {differing[:3]}."


class RewardContract(ComponentContract):
    """A reward: one finite number per completion, and more for the better one."""

    kind = "reward"
    row: dict[str, Any] = {}
    """A row as in a data set, with the columns that the reward reads."""
    better = ""
    worse = ""
    """Two completions for the row; the first must score higher."""

    def score(self, completions: list[str]) -> list[float]:
        """The rewards of completions that all belong to `row`."""
        job = self.job()
        (item,) = job.many("reward")
        raw = self.row or CHAT[1]
        rows = [to_row(dict(raw)) for _ in completions]
        scores: list[float] = job.call(item, "score", rows=rows, completions=completions)
        return scores

    def test_scores_each_completion_in_order(self) -> None:
        """As many finite numbers as completions, in their order."""
        words = [self.better or "The answer is 3.", self.worse or "", "", "北京\n" * 50]
        scores = self.score(words)
        assert len(scores) == len(words), f"{len(words)} completions got {len(scores)} scores."
        assert all(isinstance(s, int | float) and math.isfinite(s) for s in scores), f"Not all are numbers: {scores}"

    def test_prefers_the_better_answer(self) -> None:
        """The better completion scores higher, wherever it stands."""
        better = self.fact("better", "a completion of `row` that must score higher than `worse`.")
        first, second = self.score([better, self.worse]), self.score([self.worse, better])
        assert first[0] > first[1], f"{better!r} scored {first[0]}, {self.worse!r} {first[1]}."
        assert second[1] > second[0], "The order of the completions changes which one is better."


class LauncherContract(ComponentContract):
    """A launcher: it runs a command on every process and tells how it ended."""

    kind = "launcher"

    def launch(self, *command: str) -> int:
        """The exit code of `python COMMAND` under this launcher."""
        job = self.job()
        code: int = job.hook.launch(job=job, command=list(command))
        return code

    def test_runs_the_command(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each process knows its rank and how many there are."""
        body = "import os, pathlib; pathlib.Path(os.environ['RANK'] + '.rank').write_text(os.environ['WORLD_SIZE'])"
        (tmp_path / "say_rank.py").write_text(body, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
        assert self.launch("-m", "say_rank") == 0
        sizes = [f.read_text() for f in tmp_path.glob("*.rank")]
        assert sizes and all(s == str(len(sizes)) for s in sizes), f"Processes said WORLD_SIZE {sizes}."

    def test_tells_of_a_failure(self) -> None:
        """A process that fails is not a success."""
        assert self.launch("-m", "there_is_no_such_module") != 0


class ParallelContract(ComponentContract):
    """A way to share a step among processes: `options` hold the one that chooses it."""

    kind = "parallel"

    def choice(self) -> dict[str, Any]:
        """Nothing: its own option chooses it."""
        return {}

    def test_its_option_chooses_it(self) -> None:
        """A job with `options` has it, and one without has not."""
        self.fact("options", "the option, with a value, that chooses it")
        assert [c.entry.name for c in self.job().many("parallel")] == [self.name]
        without: dict[str, Any] = dict.fromkeys(self.options)
        assert not self.job(**without).many("parallel")

    def test_shares_are_numbered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In every process of eight the share of the rows is one of those that there are, and none is left out."""
        job, found = self.job(), set()
        for rank in range(8):
            for name, value in {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 8}.items():
                monkeypatch.setenv(name, str(value))
            found.add(job.hook.data_share(job=job) or (rank, 8))
        (shares,) = {count for _, count in found}
        assert found == {(number, shares) for number in range(shares)}
