"""galore: the optimizer contract, updates of rank r, small moments, and a job that resumes."""

from __future__ import annotations

import json

import pytest
import torch
from swift_testing import OptimizerContract
from swift_testing.contracts import tiny_model
from swift_testing.steps import train_step

from swift_core.api import run
from swift_core.contract.errors import SwiftError


class TestGaLore(OptimizerContract):
    name = "galore"
    options = {"galore_rank": 4, "galore_update_proj_gap": 3}

    def job(self, command="sft", **options):
        return super().job(command, **{"weight_decay": 0.0, "device": "cpu", **options})

    def test_updates_and_moments_have_rank_r(self):
        model, optimizer = self.build()
        layer = model.model.layers[0]
        before = layer.mlp.gate_proj.weight.detach().clone()
        for _ in range(3):  # within one projection
            train_step(model, optimizer)
        change = layer.mlp.gate_proj.weight.detach() - before
        assert torch.linalg.matrix_rank(change, rtol=1e-4) == 4
        assert optimizer.state[layer.mlp.gate_proj.weight]["exp_avg"].shape == (128, 4)  # of a matrix 128 x 64
        assert optimizer.state[layer.self_attn.k_proj.weight]["exp_avg"].shape == (4, 64)  # of 32 x 64
        assert optimizer.state[model.lm_head.weight]["exp_avg"].shape == model.lm_head.weight.shape
        train_step(model, optimizer)  # a new projection
        change = layer.mlp.gate_proj.weight.detach() - before
        assert torch.linalg.matrix_rank(change, rtol=1e-4) > 4

    def test_named_targets_and_a_name_that_fits_none(self):
        for word, count in (("mlp", 6), ("k_proj", 2)):
            optimizer = self.job_with(word)
            assert len(optimizer.param_groups[0]["params"]) == count
            assert sum(len(g["params"]) for g in optimizer.param_groups) == 21
        with pytest.raises(SwiftError, match="no linear layer that trains fits"):
            self.job_with("nothing")

    def job_with(self, target):
        self.options = {**type(self).options, "galore_target_modules": [target]}
        return self.build()[1]


def test_a_job_resumes_exactly(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"{n}?", "response": f"{n}!"}) + "\n" for n in range(6)))
    shared = {
        "model": tiny_model("qwen2"), "dataset": [str(rows)], "tuner": ["full"], "optimizer": "galore",
        "galore_rank": 4, "galore_update_proj_gap": 3, "device": "cpu", "save_steps": 2, "max_steps": 4,
    }  # fmt: skip
    whole = run("sft", output_dir=str(tmp_path / "whole"), **shared)
    half = str(tmp_path / "whole" / "checkpoint-2")
    again = run("sft", output_dir=str(tmp_path / "again"), resume_from_checkpoint=half, **shared)
    for one, other in zip(whole["trainer"].model.parameters(), again["trainer"].model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_layer_by_layer_it_takes_the_steps_of_the_reference():
    """galore_torch and our updates inside the backward pass: the same weights, and no gradient left."""
    one, other = TestGaLore(), TestGaLore()
    other.options = {**TestGaLore.options, "galore_layerwise": True}
    (model, optimizer), (twin, layerwise) = one.build(), other.build()
    for _ in range(5):
        train_step(model, optimizer)
        train_step(twin, layerwise)
    assert all(p.grad is None for p in twin.parameters())
    for (name, wanted), found in zip(model.named_parameters(), twin.parameters(), strict=True):
        assert torch.allclose(found, wanted, atol=1e-5), name


def test_adapters_are_refused():
    with pytest.raises(SwiftError, match="--tuner full"):
        TestGaLore().job(tuner=["lora"])
