"""Invariants of training methods: what must not change what is learnt, on tiny models."""

from __future__ import annotations

import functools
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.resume import find_resume
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data
from swift_testing.contracts import catalogue, write_rows
from swift_testing.contracts_training import TrainerContract
from swift_testing.rewards import rewarding, share_of_odd_characters
from swift_testing.rollouts import telling


def build_trainer(model: str, rows: list[dict[str, Any]], folder: Path, offered: Any = None, **options: Any) -> Any:
    """The trainer that a job on `rows` builds, not yet started. offered: a catalogue other than what is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "model": model,
        "dataset": [write_rows(folder, rows)],
        "tuner": "full",
        "learning_rate": 1e-3,
        "output_dir": str(folder / "out"),
        "save_strategy": "no",
        "logging_steps": 1,
        "device": "cpu",
        **options,
    }
    job = prepare("train", [Given(k, v, "test") for k, v in told.items()], offered or catalogue())
    train, held = load_data(job)
    resume = find_resume(job)
    net, processor = load_model(job, resume)
    net = attach_tuners(job, net, resume)
    return job.hook.build_trainer(job=job, model=net, processor=processor, rows=train, eval_rows=held)


def unsettle(trainer: Any, scale: float = 0.05, seed: int = 1) -> None:
    """Move every weight that trains a little, so that the model differs from where it started."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in (p for p in trainer.model.parameters() if p.requires_grad):
            parameter.add_(torch.randn_like(parameter) * scale)


def gradients(model: Any, compute: Any) -> tuple[float, dict[str, Any]]:
    """(loss, every parameter's gradient) of what `compute` gives."""
    model.train()
    model.zero_grad()
    loss = compute()
    loss.backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return float(loss.detach()), grads


def with_pictures(rows: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """The rows, each with a picture of noise of its own; the sizes of neighbours differ."""
    from PIL import Image

    made = []
    for number, row in enumerate(rows):
        file = folder / f"{number}.png"
        Image.effect_noise((84 if number % 2 else 56, 56), 80).convert("RGB").save(file)
        made.append({**row, "images": [str(file)]})
    return made


def assert_same_gradients(ours: Any, theirs: Any, names: Any = str) -> None:
    """Two outcomes of `gradients` agree to float32 accuracy, relative to the largest gradient.

    names: a function from our parameters' names to theirs.
    """
    (loss, grads), (their_loss, their_grads) = ours, theirs
    assert abs(loss - their_loss) <= 2e-5 * abs(their_loss) + 1e-5, f"The losses are {loss} and {their_loss}."
    largest = max(float(g.abs().max()) for g in their_grads.values())
    for name, gradient in grads.items():
        apart = float((gradient - their_grads[names(name)]).abs().max())
        assert apart <= 2e-4 * largest + 1e-7, f"The gradients of {name} differ by {apart}, of at most {largest}."


class TrainerInvariants(TrainerContract):
    """Beyond the contract: how rows are cut into batches does not change what is learnt, on any machine.

    Whole runs are compared with each other, and with the figures stored in `trajectory.json` beside the test, so that
    a change that bends all of them alike is seen too. `make trajectories` writes those files anew.
    """

    trajectory = "trajectory.json"
    """The file; a second class in the same folder names another."""
    figures: tuple[str, ...] = ("loss",)
    """What is stored of each step's log line."""

    scoring: dict[str, Any] = {}
    """Options under which each row's loss is its own, where the method's defaults let rows of a batch meet."""
    batch = 8
    """Rows per optimizer step."""
    whole_steps = 3
    """Optimizer steps of a whole run."""

    def whole_run(self, folder: Path, size: int, processes: int = 1, **options: Any) -> Any:
        """The trainer after a run of `whole_steps` steps, `size` rows at a time on each of `processes`."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = write_rows(folder, (self.rows * self.batch)[: self.batch], f"rows-{os.environ.get('RANK', 0)}.jsonl")
        plain = {"training_args": {"optim": "sgd"}, "learning_rate": 0.1, "warmup_ratio": 0.0}  # Adam enlarges rounding
        shared = {"max_steps": self.whole_steps, "dataset_shuffle": False, "save_strategy": "no", "tuner": "full"}
        split = {"per_device_train_batch_size": size}
        split["gradient_accumulation_steps"] = self.batch // size // processes
        told = {"dataset": [rows], **shared, **plain, **split, **self.scoring, **options}
        return self.train(folder / "run", **told)["trainer"]

    @pytest.fixture(scope="class")
    def ran(self, tmp_path_factory: Any) -> Callable[[int], Any]:
        """Rows at a time → the trainer after a whole run, made once."""
        return functools.cache(lambda size: self.whole_run(tmp_path_factory.mktemp("whole"), size))

    def test_one_batch_equals_many_batches_of_one(self, ran: Callable[[int], Any]) -> None:
        """Rows per optimizer step decide the update, not how many go through the model at a time."""
        import torch

        whole, single = ran(self.batch), ran(1)
        for (name, one), other in zip(whole.model.named_parameters(), single.model.parameters(), strict=True):
            apart = float((one - other).abs().max())
            assert torch.allclose(one, other, atol=1e-5), f"{name} ends {apart} apart."
        assert all(x["grad_norm"] > 0 for x in whole.state.log_history if "loss" in x), "Nothing was learnt."
        assert self.figures_of(single) == near(self.figures_of(whole))

    def test_the_config_says_of_the_cache_what_it_said(self, ran: Callable[[int], Any]) -> None:
        """transformers' Trainer turns `use_cache` off; a checkpoint's config.json would hand that on."""
        config = ran(self.batch).model.config
        before = type(config).from_pretrained(ran(self.batch).job.options.model)
        assert config.to_dict().get("use_cache") == before.to_dict().get("use_cache")

    def test_figures_follow_the_stored_trajectory(self, ran: Callable[[int], Any]) -> None:
        """What a whole run logs at each step is what it logged when `make trajectories` last wrote it down."""
        figures = self.figures_of(ran(self.batch))
        if os.environ.get("SWIFT_WRITE_TRAJECTORIES"):
            told = {"trainer": self.name, "contract": type(self).__name__, "figures": figures}
            self.trajectory_file.write_text(json.dumps(told) + "\n", encoding="utf-8")
        if not self.trajectory_file.is_file():
            pytest.skip(f"No {self.trajectory_file.name} beside the test; make trajectories writes it.")
        assert figures == near(json.loads(self.trajectory_file.read_text(encoding="utf-8"))["figures"])

    @property
    def trajectory_file(self) -> Path:
        """The stored trajectory, beside the test that inherits this class."""
        return Path(inspect.getfile(type(self))).with_name(self.trajectory)

    def figures_of(self, trainer: Any) -> dict[str, list[float]]:
        """Each of `figures` → its values over the log lines that have it, to six digits behind the point."""
        lines = [line for line in trainer.state.log_history if "loss" in line]
        return {name: [round(line[name], 6) for line in lines if name in line] for name in self.figures}


def near(figures: dict[str, list[float]]) -> Any:
    """Equal to these figures, with the room that sums of float32 in another order need."""
    return {name: pytest.approx(values, rel=2e-3, abs=1e-5) for name, values in figures.items()}


def losses_of(trainer: Any) -> list[float]:
    """The training loss of each step of a run."""
    return [line["loss"] for line in trainer.state.log_history if "loss" in line]


class TokenInvariants(TrainerInvariants):
    """The same for methods that learn tokens, whose rows may be laid end to end."""

    def test_flat_and_packed_rows_equal_padded_ones(self, ran: Callable[[int], Any], tmp_path: Path) -> None:
        """However rows are laid out, the losses of every step are the same."""
        padded = losses_of(self.whole_run(tmp_path / "padded", self.batch, padding_free=False))
        pack = {"packing": True, "max_length": 4096, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 1}
        assert losses_of(ran(self.batch)) == pytest.approx(padded, abs=1e-4)
        assert losses_of(self.whole_run(tmp_path / "packed", self.batch, **pack)) == pytest.approx(padded, abs=1e-4)


class ToldInvariants(TrainerInvariants):
    """The same for methods that learn from answers of their own.

    Whole runs learn from told answers (`swift_testing.rollouts`) of unequal lengths: draws differ between
    machines and between ranks, and so would every figure behind them. Everything from the answer on is as in any run:
    rewards, likelihoods of policy and reference, the method's judgement, the loss and the step. That draws repeat
    is what resuming shows, where the method draws for itself.
    """

    figures: tuple[str, ...] = ("loss", "grad_norm", "completions/length")

    def whole_run(self, folder: Path, size: int, processes: int = 1, **options: Any) -> Any:
        """A run on told answers."""
        return super().whole_run(folder, size, processes, **{"rollout_backend": "vllm", **options})

    def offered(self) -> Catalogue:
        """What is installed, with answers told under --rollout_backend vllm."""
        return telling(catalogue())

    def job(self, command: str = "train", **options: Any) -> Any:
        """A prepared job with told answers under --rollout_backend vllm."""
        values = {"device": "cpu", **self.choice(), **self.options, **options}
        return prepare(command, [Given(k, v, "test") for k, v in values.items()], self.offered())


class RewardedInvariants(ToldInvariants):
    """The same for methods that learn from rewards; theirs is `odd`, the share of odd characters in an answer.

    Of the three steps, the second goes on with the answers of the first, and so meets a policy that has moved.
    """

    figures: tuple[str, ...] = ("loss", "grad_norm", "completions/length", "reward", "kl", "clip_ratio")
    options: dict[str, Any] = {"reward": "odd", "max_completion_length": 8}
    scoring: dict[str, Any] = {"beta": 0.5, "num_iterations": 2}
    batch = 4

    def offered(self) -> Catalogue:
        """What is installed, the reward, others that abstain on all answers or on half of them, and told answers."""
        return telling(rewarding(share_of_odd_characters, "odd", silent=on_none, halting=on_some))

    def test_an_answer_without_a_reward_teaches_nothing(self, tmp_path: Path) -> None:
        """Where every reward abstains no weight moves; where some answers have a reward, the log is about those."""
        one: dict[str, Any] = {"max_steps": 1, "weight_decay": 0.0}
        still = self.whole_run(tmp_path / "still", self.batch, **one, learning_rate=0.0)
        silent = self.whole_run(tmp_path / "silent", self.batch, **one, reward="silent")
        some = self.whole_run(tmp_path / "some", self.batch, **one, reward="halting")
        assert moved(silent.model, still.model) == 0 < moved(some.model, still.model)
        (line,) = [line for line in some.state.log_history if "loss" in line]
        assert line["rewards/abstained"] == 0.5 and line["reward"] == pytest.approx(line["rewards/halting"])
        assert not [name for line in silent.state.log_history for name in line if name in ("reward", "rewards/silent")]


def on_none(rows: Any, completions: list[str]) -> list[float | None]:
    """A reward that abstains on every answer."""
    return [None] * len(completions)


def on_some(rows: Any, completions: list[str]) -> list[float | None]:
    """The share of odd characters of two answers, and of the next two nothing, and so on."""
    values = share_of_odd_characters(rows, completions)
    return [value if number // 2 % 2 == 0 else None for number, value in enumerate(values)]


def moved(model: Any, other: Any) -> float:
    """How far the weights of two models are apart at most."""
    pairs = zip(model.parameters(), other.parameters(), strict=True)
    return max(float((one - two).abs().max()) for one, two in pairs)
