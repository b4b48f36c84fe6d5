"""Private methods of transformers' Trainer that ours override: no others, each for a reason, each still as it was."""

from __future__ import annotations

import inspect

import pytest
import transformers
from swift_plugin_runtime.alignment.reference import AlignmentTrainer
from swift_plugin_runtime.rollouts.policy import PolicyTrainer
from swift_plugin_runtime.scoring.trainer import ScoringTrainer
from swift_plugin_runtime.training.trainer import Trainer

SEAMS = {
    "_get_dataloader": (
        "dataset description batch_size sampler_fn is_training dataloader_key",
        "each process reads its own share of a stream, and packs are shuffled whole",
    ),
    "_get_output_dir": ("trial", "a checkpoint is written beside its place first"),
    "_save_checkpoint": ("model trial", "a checkpoint is put in its place when it is whole"),
    "_load_from_checkpoint": ("resume_from_checkpoint model", "the tuners load what they saved"),
    "_load_best_model": ("", "the tuners load what they saved"),
    "_save_optimizer_and_scheduler": ("output_dir", "sharded optimizer states are gathered by name"),
    "_load_optimizer_and_scheduler": ("checkpoint", "sharded optimizer states are dealt out by name"),
    "_clip_grad_norm": ("model", "a model split by FSDP2 has gradients that are split too"),
    "_get_train_sampler": ("train_dataset", "the answers to one prompt stay together"),
    "_get_num_items_in_batch": ("batch_samples device", "preference losses are means over pairs, not over tokens"),
}
"""Name → its parameters in the transformers that was tested, and why it is overridden."""

OURS = (Trainer, PolicyTrainer, AlignmentTrainer, ScoringTrainer)


def overridden() -> set[str]:
    classes = {c for ours in OURS for c in ours.__mro__ if c.__module__.startswith("swift_plugin_")}
    names = {name for c in classes for name in vars(c)}
    return {n for n in names if n.startswith("_") and not n.startswith("__") and hasattr(transformers.Trainer, n)}


def test_only_these_are_overridden() -> None:
    assert overridden() == set(SEAMS)


@pytest.mark.parametrize("name", SEAMS)
def test_each_takes_what_it_took(name: str) -> None:
    parameters, _ = SEAMS[name]
    found = [p for p in inspect.signature(getattr(transformers.Trainer, name)).parameters if p != "self"]
    assert found == parameters.split(), f"transformers {transformers.__version__} changed {name}: look at our override"
