"""Schedule-free keeps the optimizer contract; what is saved is the average, and a run resumes from it."""

import json

import pytest
import torch
from swift_testing import OptimizerContract
from swift_testing.contracts import tiny_model
from swift_testing.steps import train_step

from swift_core.api import run
from swift_core.contract.errors import SwiftError


class TestScheduleFree(OptimizerContract):
    name = "schedule_free"

    def job(self, command="sft", **options):
        return super().job(command, **{"lr_scheduler_type": "constant", **options})

    def test_other_schedules_are_refused(self):
        model, _ = self.build()
        job = self.job(lr_scheduler_type="cosine")
        with pytest.raises(SwiftError, match="--lr_scheduler_type constant"):
            job.one("optimizer").create_optimizer(job=job, model=model)

    def test_evaluation_sees_another_point(self):
        model, optimizer = self.build()
        train_step(model, optimizer)
        train_step(model, optimizer)
        at = model.lm_head.weight.detach().clone()
        optimizer.eval()
        assert not torch.equal(model.lm_head.weight, at)


def test_a_job_saves_the_average_and_resumes(tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"{n}?", "response": f"{n}!"}) + "\n" for n in range(4)))
    shared = {
        "model": tiny_model("qwen2"), "dataset": [str(rows)], "tuner": ["full"], "optimizer": "schedule_free",
        "lr_scheduler_type": "constant", "device": "cpu", "save_steps": 2, "max_steps": 4, "learning_rate": 0.01,
    }  # fmt: skip
    whole = run("sft", output_dir=str(tmp_path / "whole"), **shared)
    half = str(tmp_path / "whole" / "checkpoint-2")
    again = run("sft", output_dir=str(tmp_path / "again"), resume_from_checkpoint=half, **shared)
    from safetensors.torch import load_file

    one, other = (load_file(f"{done['checkpoint']}/model.safetensors") for done in (whole, again))
    for name, value in one.items():
        assert torch.allclose(value, other[name], atol=1e-5), name
    optimizer = whole["trainer"].optimizer.optimizer
    optimizer.eval()
    assert torch.allclose(one["lm_head.weight"], whole["trainer"].model.lm_head.weight, atol=1e-6)
