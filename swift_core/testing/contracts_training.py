"""Contracts of training: tuners, optimizers, trainers, rewards, launchers."""

from __future__ import annotations

import copy
import json
import math
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from swift_core.data.convert import to_row
from swift_core.job import Job, prepare
from swift_core.jobs.common import load_adapters, load_model
from swift_core.jobs.train import attach_tuners
from swift_core.models.index import LOCK_FILE
from swift_core.options import Given
from swift_core.testing.contracts import CHAT, ComponentContract, tiny_model, write_rows
from swift_core.testing.contracts_model import logits_of

each_family = pytest.mark.parametrize("family", ["qwen2", "llama"])


class Tuned(NamedTuple):
    """A tiny model with the tuner attached. before: its parameters then. base: the base model's logits."""

    job: Job
    model: Any
    processor: Any
    before: dict[str, Any]
    base: Any


class TunerContract(ComponentContract):
    """A tuner, on tiny Qwen2 and Llama models: it trains what it says; saved, loaded or merged it is the same."""

    kind = "tuner"
    trains = ""
    """A regex searched in parameter names: these parameters train, and no others."""
    identity_at_start = False
    """Whether the model with the fresh tuner answers exactly as the base model does."""
    merges = True
    """Whether it can be folded into plain weights."""
    learning_rate = 0.01
    steps = 8

    def tune(self, family: str) -> Tuned:
        """A fresh tiny model with this tuner attached."""
        import torch

        torch.manual_seed(0)
        job = self.job(model=tiny_model(family))
        model, processor = load_model(job)
        base = logits_of(model)
        model = attach_tuners(job, model)
        return Tuned(job, model, processor, {n: p.detach().clone() for n, p in model.named_parameters()}, base)

    @each_family
    def test_trains_what_it_declares(self, family: str) -> None:
        """Exactly the parameters whose names match `trains` require gradients."""
        wanted = re.compile(self.fact("trains", "a regex of the parameter names that train, for instance r'lora_'."))
        for name, parameter in self.tune(family).model.named_parameters():
            trains, declared = parameter.requires_grad, bool(wanted.search(name))
            assert trains == declared, f"{name} {'trains' if trains else 'does not train'}; `trains` says otherwise."

    @each_family
    def test_starts_as_the_base_model(self, family: str) -> None:
        """With `identity_at_start`, attaching changes no answer."""
        tuned = self.tune(family)
        if self.identity_at_start:
            assert _near(logits_of(tuned.model), tuned.base), "The fresh tuner changes the model's answers."
        assert logits_of(tuned.model).isfinite().all(), "The fresh tuner makes logits that are not finite."

    @each_family
    def test_learns_and_leaves_the_rest_alone(self, family: str) -> None:
        """A few steps lower the loss; no frozen parameter changes by a bit."""
        tuned = self.tune(family)
        losses = learn(tuned.model, self.steps, self.learning_rate)
        assert losses[-1] < losses[0], f"{self.steps} steps at {self.learning_rate}: losses {losses}."
        for name, parameter in tuned.model.named_parameters():
            same = parameter.detach().equal(tuned.before[name])
            assert same or parameter.requires_grad, f"{name} is frozen and changed all the same."

    @each_family
    def test_learns_the_same_with_gradient_checkpointing(self, family: str) -> None:
        """Recomputed activations give the gradients that kept ones give."""
        gradients = []
        for recompute in (False, True):
            model = self.tune(family).model
            if recompute:
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            learn(model, 1, 0.0)
            gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        kept, again = gradients
        assert kept.keys() == again.keys(), f"Without gradient: {sorted(kept.keys() ^ again.keys())[:3]}."
        for name, gradient in kept.items():
            assert _near(gradient, again[name]), f"{name} gets another gradient under gradient checkpointing."

    @each_family
    def test_saved_and_loaded_it_answers_the_same(self, family: str, tmp_path: Path) -> None:
        """What training writes, `--ckpt_dir` opens: a fresh model with the saved tuner gives the same logits."""
        from swift_plugin_runtime.training import save_trained

        tuned = self.tune(family)
        learn(tuned.model, 2, self.learning_rate)
        save_trained(tuned.job, tuned.model, tuned.processor, str(tmp_path))
        job = prepare("export", [Given("ckpt_dir", str(tmp_path), "test"), Given("device", "cpu", "test")])
        again = load_adapters(job, load_model(job)[0])
        assert _near(logits_of(again), logits_of(tuned.model)), "The saved and loaded model gives other logits."

    @each_family
    def test_merged_it_is_a_plain_checkpoint(self, family: str, tmp_path: Path) -> None:
        """transformers alone loads the merged model, and it gives the same logits."""
        if not self.merges:
            return
        import transformers

        job, model, processor, *_ = self.tune(family)
        learn(model, 2, self.learning_rate)
        wanted = logits_of(model)
        for item in reversed(job.many("tuner")):
            merged = job.call(item, "merge_tuner", model=model, name=item.label)
            model = model if merged is None else merged
        job.hook.save_model(job=job, model=model, processor=processor, folder=str(tmp_path))
        loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
        plain, report = loaded
        left = [*report["missing_keys"], *report["unexpected_keys"]]
        assert not left, f"The merged checkpoint is not a plain one: {sorted(left)[:3]}. Implement merge_tuner."
        assert _near(logits_of(plain), wanted), "The merged model gives other logits."


def learn(model: Any, steps: int, rate: float) -> list[float]:
    """Train on fixed ids with AdamW; the loss before each step."""
    import torch

    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=rate, weight_decay=0.0)
    return [train_step(model, optimizer) for _ in range(steps)]


def train_step(model: Any, optimizer: Any) -> float:
    """One step on fixed ids; the loss before it. Gradients stay for the caller to read."""
    import torch

    ids = torch.randint(0, 200, (2, 12), generator=torch.Generator().manual_seed(1)).to(model.device)
    model.train()
    optimizer.zero_grad()
    loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def _near(one: Any, other: Any) -> bool:
    import torch

    return bool(torch.allclose(one, other, rtol=1e-4, atol=1e-4))


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
        return job.spec.runner()(job)

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
