"""Invariants of training methods: what must not change what is learnt, on tiny models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from swift_core.job import prepare
from swift_core.jobs.common import load_model
from swift_core.jobs.train import attach_tuners, find_resume, load_data
from swift_core.options import Given
from swift_core.testing.contracts import catalogue, write_rows
from swift_core.testing.contracts_training import TrainerContract


def build_trainer(model: str, rows: list[dict[str, Any]], folder: Path, found: Any = None, **options: Any) -> Any:
    """The trainer that a job on `rows` builds, not yet started. found: a catalogue other than what is installed."""
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
    job = prepare("train", [Given(k, v, "test") for k, v in told.items()], found or catalogue())
    train, held = load_data(job)
    resume = find_resume(job)
    net, processor = load_model(job, resume)
    net = attach_tuners(job, net, resume)
    return job.hook.build_trainer(job=job, model=net, processor=processor, rows=train, eval_rows=held)


def unsettle(trainer: Any, scale: float = 0.05, seed: int = 1) -> None:
    """Move every weight of the model under training a little, so that it differs from where it started."""
    import torch

    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)


def gradients(model: Any, compute: Any) -> tuple[float, dict[str, Any]]:
    """(loss, every parameter's gradient) of what `compute` gives."""
    model.train()
    model.zero_grad()
    loss = compute()
    loss.backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return float(loss.detach()), found


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
    """Beyond the contract: how rows are cut into batches does not change what is learnt."""

    scoring: dict[str, Any] = {}
    """Options under which each row's loss is its own, where the method's defaults let rows of a batch meet."""

    def test_batch_of_four_equals_four_batches_of_one(self, tmp_path: Path) -> None:
        """Rows per optimizer step decide the update, not how many go through the model at a time."""
        import torch

        plain = {"training_args": {"optim": "sgd"}, "learning_rate": 0.1, "warmup_ratio": 0.0}  # Adam enlarges rounding
        shared = {"max_steps": 2, "dataset_shuffle": False, "save_strategy": "no", "tuner": "full", **plain}
        ends = []
        for size in (4, 1):
            folder = tmp_path / str(size) / "run"
            folder.parent.mkdir()
            split = {"per_device_train_batch_size": size, "gradient_accumulation_steps": 4 // size}
            ends.append(self.train(folder, **shared, **split, **self.scoring)["trainer"])
        for (name, one), other in zip(ends[0].model.named_parameters(), ends[1].model.parameters(), strict=True):
            apart = float((one - other).abs().max())
            assert torch.allclose(one, other, atol=1e-5), f"{name} ends {apart} apart."
        first, second = ([x["loss"] for x in e.state.log_history if "loss" in x] for e in ends)
        assert all(x["grad_norm"] > 0 for x in ends[0].state.log_history if "loss" in x), "Nothing was learnt."
        assert all(abs(a - b) < 1e-4 for a, b in zip(first, second, strict=True)), f"Losses {first} and {second}."


class RewardedInvariants(TrainerInvariants):
    """The same for methods that learn from rewards; theirs is `odd`, the share of odd characters in an answer."""

    options: dict[str, Any] = {"reward": "odd", "max_completion_length": 8}

    def job(self, command: str = "train", **options: Any) -> Any:
        """A prepared job that knows the reward."""
        from swift_core.testing.rewards import rewarding, share_of_odd_characters

        values = {"device": "cpu", **self.choice(), **self.options, **options}
        return prepare(
            command, [Given(k, v, "test") for k, v in values.items()], rewarding(share_of_odd_characters, "odd")
        )
