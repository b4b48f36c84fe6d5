"""LISA keeps the tuner contract; its layers follow the stated distribution, hold no state when frozen, resume."""

import json
from collections import Counter

import pytest
import torch
from swift_plugin_lisa import Lisa
from swift_testing import TunerContract
from swift_testing.contracts import tiny_model

from swift_core.api import run
from swift_core.contract.errors import SwiftError


class TestLisa(TunerContract):
    name = "lisa"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"lisa_activated_layers": 1}
    trains = r"^(?!.*visual\.)"  # --freeze_vit and --freeze_aligner are on
    identity_at_start = True

    def test_resumed_it_trains_on(self, tmp_path):
        """Stopped in the middle of a period and resumed, a job takes the very steps that it would have taken."""
        whole = job(tmp_path / "whole", max_steps=6, save_steps=3)
        half = str(tmp_path / "whole" / "checkpoint-3")
        again = job(tmp_path / "again", max_steps=6, save_steps=3, resume_from_checkpoint=half)
        for one, other in zip(whole.model.parameters(), again.model.parameters(), strict=True):
            assert torch.equal(one, other)

    def test_more_layers_than_there_are_are_refused(self):
        with pytest.raises(SwiftError, match="the model has 2 layers"):
            self.tune("llama", lisa_activated_layers=3)


def job(folder, **options):
    rows = folder.parent / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"{n}?", "response": f"{n}!"}) + "\n" for n in range(6)))
    shared = {
        "model": tiny_model("qwen2"), "dataset": [str(rows)], "tuner": ["lisa"], "device": "cpu", "learning_rate": 1e-3,
        "lisa_activated_layers": 1, "lisa_step_interval": 2,
    }  # fmt: skip
    return run("sft", output_dir=str(folder), **{**shared, **options})["trainer"]


def test_frozen_layers_hold_neither_gradient_nor_moments(tmp_path):
    """After a run over several periods, one layer of two has state in the optimizer; embeddings and head have."""
    trainer = job(tmp_path / "run", max_steps=5)
    model, state = trainer.model, trainer.optimizer.optimizer.state
    active = [n for n, layer in enumerate(model.model.layers) if next(layer.parameters()).requires_grad]
    assert active == Lisa(lisa_activated_layers=1).drawn(2, 2, 42)
    for number, layer in enumerate(model.model.layers):
        for parameter in layer.parameters():
            assert (parameter in state) == (number in active)
            assert parameter.grad is None or number in active
    assert model.model.embed_tokens.weight in state and model.lm_head.weight in state


def test_every_set_of_layers_is_as_likely():
    """2 of 4 layers: 6 sets; chi-square of 3,000 draws stays below its 99.9 % bound for 5 degrees of freedom."""
    tuner = Lisa(lisa_activated_layers=2)
    seen = Counter(tuple(sorted(tuner.drawn(4, period, 7))) for period in range(3000))
    assert len(seen) == 6
    assert sum((count - 500) ** 2 / 500 for count in seen.values()) < 20.5
