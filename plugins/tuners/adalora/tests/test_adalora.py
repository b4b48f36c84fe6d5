"""AdaLoRA keeps the tuner contract, and ends a job at its budget of ranks."""

import json

import pytest
from swift_testing import TunerContract
from swift_testing.contracts import tiny_model

from swift_core.api import run
from swift_core.contract.errors import SwiftError


class TestAdaLora(TunerContract):
    name = "adalora"
    families = ("qwen2", "llama", "qwen2_vl")
    trains = r"\.lora_(A|B|E)\."
    identity_at_start = True
    learning_rate = 0.03


def test_a_job_prunes_to_the_budget(tmp_path):
    """12 ranks a matrix at the start, 3 on average at the end; the short last phase changes none."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"{n}?", "response": f"{n}!"}) + "\n" for n in range(4)))
    shared = {"model": tiny_model("qwen2"), "dataset": [str(rows)], "tuner": ["adalora"], "device": "cpu"}
    done = run(
        "sft", output_dir=str(tmp_path / "run"), max_steps=8, adalora_init_r=12, adalora_target_r=3,
        adalora_tinit=1, adalora_tfinal=2, learning_rate=0.01, **shared,
    )  # fmt: skip
    model = done["trainer"].model
    values = [p for n, p in model.named_parameters() if ".lora_E." in n]
    left = sum(int((v != 0).sum()) for v in values)
    assert left <= 3 * len(values)
    with pytest.raises(SwiftError, match="leaves none between"):
        run("sft", output_dir=str(tmp_path / "short"), max_steps=2, adalora_tinit=2, **shared)
