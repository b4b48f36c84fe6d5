"""loraplus: the optimizer contract, B faster than A by the ratio, and the job that uses it."""

from __future__ import annotations

import json

import pytest
from swift_testing import OptimizerContract
from swift_testing.contracts import tiny_model
from swift_testing.steps import train_step

from swift_core.api import run
from swift_core.contract.errors import SwiftError


class TestLoraPlus(OptimizerContract):
    name = "loraplus"
    tuner = "lora"
    learning_rate = 1e-3
    options = {"loraplus_lr_ratio": 8}

    def job(self, command="sft", **options):
        return super().job(command, **{"weight_decay": 0.0, "device": "cpu", **options})

    def test_b_moves_by_the_ratio(self):
        """Adam's first step is the learning rate, whatever the gradient; A's gradient is zero until B moves."""
        model, optimizer = self.build()
        train_step(model, optimizer)
        moved = {n: p.detach().abs().median().item() for n, p in model.named_parameters() if "lora_B" in n}
        for name, step in moved.items():
            assert step == pytest.approx(8e-3, rel=0.01), name
        before = {n: p.detach().clone() for n, p in model.named_parameters() if "lora_A" in n}
        train_step(model, optimizer)
        for name, parameter in model.named_parameters():
            if name in before:
                assert (parameter.detach() - before[name]).abs().max().item() < 2e-3, name

    def test_other_tuners_are_refused(self):
        self.tuner = "full"
        with pytest.raises(SwiftError, match="--tuner lora"):
            self.build()


def test_a_job_uses_both_rates(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"query": "a?", "response": "b!"}) + "\n")
    done = run(
        "sft", model=tiny_model("qwen2"), dataset=[str(rows)], output_dir=str(tmp_path / "o"), optimizer="loraplus",
        tuner=["lora"], max_steps=2, device="cpu", learning_rate=1e-3, lr_scheduler_type="constant", weight_decay=0.2,
    )  # fmt: skip
    groups = [g for g in done["trainer"].optimizer.param_groups if g["params"]]
    assert [(g["lr"], g["weight_decay"]) for g in groups] == [(1e-3, 0.2), (1.6e-2, 0.2)]
