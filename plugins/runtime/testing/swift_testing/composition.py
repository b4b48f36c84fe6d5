"""A tuner beside LoRA, before it or behind it: both train, are saved apart, load, go on and merge; or are refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.tuning import tuning_of
from swift_core.job.options import match_field
from swift_core.jobs.steps import attach_tuners, load_adapters, load_model, merge_adapters
from swift_testing.contracts import CHAT, tiny_model, write_rows
from swift_testing.contracts_model import logits_of

MINE, LORA = "mine", "beside"
"""The labels of the two tuners."""

STEPS = 4

REASON = re.compile(r"\w+(\W+\w+){5}")
"""What a reason is at least: some words."""


def check_beside_lora(contract: Any, first: bool, folder: Path) -> None:
    """Train the contract's tuner beside LoRA and assert all that the module's first line says.

    first: whether it is attached before LoRA. Where the two are refused, the SwiftError must give the reason.
    """
    import torch

    torch.manual_seed(0)
    try:
        job = _job(contract, first)
        model, processor = load_model(job)
        model = attach_tuners(job, model)
    except SwiftError as error:
        if not REASON.search(str(error)):
            pytest.fail(f"Beside lora it is refused without a reason: {error}")
        return
    trained = _train(contract, job, model)
    _save(job, model, processor, str(folder), trained)
    _load(contract, job, model, str(folder), trained)


def _job(contract: Any, first: bool) -> Job:
    """A job of both tuners on the contract's first tiny model; options of the contract go to its own tuner."""
    folder = tiny_model(contract.families[0])
    names = [f"{MINE}={contract.name}", f"{LORA}=lora"]
    own = {key: value for key, value in contract.options.items() if match_field(contract.component, key)}
    values = {**dict.fromkeys(own), **{f"{MINE}.{key}": value for key, value in own.items()}}
    if contract.needs_rows:
        values["dataset"] = [write_rows(folder, CHAT * 2)]
    return contract.job(model=folder, tuner=names if first else names[::-1], **values)


def _train(contract: Any, job: Job, model: Any) -> dict[str, list[str]]:
    """Take some steps; the names of what each tuner trains. Gradients reached all of it, and nothing else changed."""
    from swift_testing.contracts_training import learn

    training = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    owned = tuning_of(model).owned
    trained = {label: [name for name in training if name in owned[label]] for label in (MINE, LORA)}
    strange = set(training) - {name for names in trained.values() for name in names}
    assert not strange, f"{min(strange)} trains, and belongs to neither tuner."
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = learn(model, STEPS, contract.learning_rate, job)
    assert losses[-1] < losses[0], f"Beside lora {STEPS} steps at {contract.learning_rate} give the losses {losses}."
    same = {name for name, parameter in model.named_parameters() if parameter.detach().equal(before[name])}
    idle = [name for name, p in model.named_parameters() if name in training and p.grad is None]
    assert not idle, f"Beside lora {len(idle)} of {len(training)} parameters get no gradient: {idle[0]} and others."
    for label, names in trained.items():
        assert set(names) - same or not names, f"Beside the other tuner nothing of {label!r} ever changed."
    moved = set(before) - same - set(training)
    assert not moved, f"{min(moved)} is frozen and changed all the same."
    return trained


def _save(job: Job, model: Any, processor: Any, folder: str, trained: dict[str, list[str]]) -> None:
    """Save both; what one of them wrote holds no tensor of the other's."""
    from safetensors.torch import load_file
    from swift_plugin_runtime.training.trainer import save_trained

    save_trained(job, model, processor, folder)
    state = model.state_dict()
    for label, other in ((MINE, LORA), (LORA, MINE)):
        foreign = [state[name] for name in trained[other]]
        for file in Path(folder, label).glob("*.safetensors"):
            for name, value in load_file(file).items():
                same = any(value.shape == one.shape and value.equal(one) for one in foreign)
                assert not same, f"{file.name} of {label!r} holds {name}, which {other!r} trains: save own_state(…)."
    saved = load_file(Path(folder, LORA, "adapter_model.safetensors"))
    wanted = sum(state[name].numel() for name in trained[LORA])
    assert sum(value.numel() for value in saved.values()) == wanted, f"lora's adapter holds other than lora's: {saved}"


def _load(contract: Any, job: Job, model: Any, folder: str, trained: dict[str, list[str]]) -> None:
    """Loaded to answer, to be trained on, or merged, both are what they were."""
    from swift_testing.contracts_training import _near

    end = logits_of(model)
    loading, again, _ = contract.load(folder)
    quantized = getattr(again, "is_quantized", False)
    assert _near(logits_of(again), end), "Beside lora the saved and loaded model gives other logits."
    resumed = dict(attach_tuners(job, load_model(job, folder)[0], folder).named_parameters())
    there = dict(model.named_parameters())
    for name in (name for names in trained.values() for name in names):
        assert name in resumed and resumed[name].requires_grad, f"{name} does not train after resuming beside lora."
        assert resumed[name].detach().equal(there[name].detach()), f"{name}: another value after resuming beside lora."
    if not contract.merges:
        with pytest.raises(SwiftError):
            merge_adapters(loading, again)
        return
    if quantized:  # few bits would round the adapters away: they are folded into whole weights, as `merge-lora` does
        again = load_adapters(loading, load_model(loading)[0].dequantize())
    merged = merge_adapters(loading, again)
    assert type(merged).__module__.startswith("transformers."), f"Merged with lora it is a {type(merged).__name__}."
    difference = (logits_of(merged) - end).abs().max()
    assert difference < (1e-3 if quantized else 1e-4), (
        "Merged with lora it gives other logits. merge_tuner is called for the last attached first; refuse with a "
        "SwiftError what cannot be folded into weights that hold another tuner's share already."
    )
