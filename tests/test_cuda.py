"""What has to hold on a GPU: flat batches, master weights, 4 bits, answers. On a CPU: SWIFT_TEST_DEVICE=cpu.

`make gpu-bundle` takes them to a machine with a GPU (benchmarks/gpu).
"""

from __future__ import annotations

import dataclasses
import json
import os
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from swift_core.api import run
from swift_core.contract.engine import Request
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

DEVICE = os.environ.get("SWIFT_TEST_DEVICE", "cuda")
pytestmark = pytest.mark.skipif(
    DEVICE == "cuda" and not torch.cuda.is_available(), reason="torch sees no CUDA device (make gpu-bundle)"
)

ATTENTION = [
    "sdpa",
    pytest.param(
        "flash_attention_2",
        marks=pytest.mark.skipif(DEVICE == "cpu" or not find_spec("flash_attn"), reason="flash_attn is not installed"),
    ),
]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `base`, a tiny checkpoint in float32, `half`, the same in bfloat16, and rows of uneven length."""
    from swift_testing.tiny import tiny_qwen2
    from transformers import AutoModelForCausalLM

    place = tmp_path_factory.mktemp("cuda")
    for name in ("base", "half"):
        tiny_qwen2(place / name, hidden_size=128)
    AutoModelForCausalLM.from_pretrained(place / "base", dtype=torch.bfloat16).save_pretrained(place / "half")
    words = "one two three four five six seven eight".split()
    rows = [{"query": f"Count to {n}.", "response": " ".join(words[:n])} for n in (1, 8, 2, 7, 3, 6, 4, 5)]
    pairs = [{**row, "rejected_response": "no"} for row in rows]
    for name, lines in {"rows": rows, "pairs": pairs}.items():
        (place / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return place


def train(place, name, method="sft", **more):
    """(losses, checkpoint) of a run of four steps on the device."""
    given = {
        "model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "output_dir": str(place / name),
        "device": DEVICE, "tuner": ["lora"], "max_steps": 4, "save_steps": 4, "logging_steps": 1, "bf16": False,
        "per_device_train_batch_size": 4, "learning_rate": 1e-3, "lr_scheduler_type": "constant", "warmup_ratio": 0,
    }  # fmt: skip
    done = run(method, **{**given, **more})
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    return losses, Path(done["checkpoint"])


@pytest.mark.parametrize("attention", ATTENTION)
def test_rows_end_to_end_have_the_losses_of_padded_ones(place, attention):
    """Flat batches with torch's attention in float32, and with flash-attention in bfloat16, which it asks for."""
    half = attention != "sdpa"
    shared = {"attn_impl": attention, "bf16": half, "model": str(place / ("half" if half else "base"))}
    flat, _ = train(place, f"flat-{attention}", padding_free=True, **shared)
    padded, _ = train(place, f"padded-{attention}", padding_free=False, **shared)
    assert flat == pytest.approx(padded, rel=2e-2 if half else 1e-4)


@pytest.mark.parametrize("method", ["sft", "dpo"])
@pytest.mark.parametrize("tuner", ["lora", "full"])
def test_losses_are_those_of_a_cpu(place, method, tuner):
    pairs = {"rlhf_type": "dpo", "dataset": [str(place / "pairs.jsonl")]}
    job, given = ("rlhf", pairs) if method == "dpo" else ("sft", {})
    here, _ = train(place, f"{method}-{tuner}", job, **given, tuner=[tuner])
    there, _ = train(place, f"{method}-{tuner}-cpu", job, **given, tuner=[tuner], device="cpu")
    assert here == pytest.approx(there, rel=1e-3)


def test_recomputed_activations_change_nothing(place):
    plain, _ = train(place, "kept")
    again, _ = train(place, "again", gradient_checkpointing=True)
    assert again == pytest.approx(plain, rel=1e-5)


def test_bfloat16_weights_keep_what_a_float32_run_learns(place):
    """At a rate far below a step of most weights; added to the nearest, 2 % of it would be kept."""
    from safetensors.torch import load_file

    small = {"model": str(place / "half"), "tuner": ["full"], "learning_rate": 1e-5}
    _, whole = train(place, "float32", **small, torch_dtype="float32")
    _, half = train(place, "bfloat16", **small, bf16=None)
    before, exact, saved = (load_file(folder / "model.safetensors") for folder in (place / "half", whole, half))
    assert {str(value.dtype) for value in saved.values()} == {"torch.bfloat16"}
    names = [name for name in saved if saved[name].dim() > 1]
    learnt = torch.cat([(exact[n].float() - before[n].float()).flatten() for n in names]).double()
    there = torch.cat([(saved[n].float() - before[n].float()).flatten() for n in names]).double()
    assert float(there @ learnt / (learnt @ learnt)) == pytest.approx(1, abs=0.2)


@pytest.mark.skipif(not find_spec("bitsandbytes"), reason="bitsandbytes is not installed")
def test_four_bits_learn_as_on_a_cpu(place):
    """NF4 below adapters: the losses of the CPU's kernels, and they fall."""
    shared = {"quantizer": "bnb", "quant_bits": 4, "bnb_4bit_compute_dtype": "float32", "learning_rate": 1e-2}
    here, _ = train(place, "nf4", max_steps=12, **shared)
    there, _ = train(place, "nf4-cpu", max_steps=12, **shared, device="cpu")
    assert here[-1] < here[0] - 0.5
    assert here[:4] == pytest.approx(there[:4], rel=1e-2)


def engine_of(model, device):
    given = {"model": model, "device": device, "torch_dtype": "float32"}
    job = prepare("infer", [Given(name, value, "test") for name, value in given.items()])
    return job.hook.start_engine(job=job)


def test_answers_are_those_of_a_cpu_together_and_alone(place):
    asked = [
        Request.of([{"role": "user", "content": f"Count to {n}."}], max_new_tokens=12, temperature=0.0)
        for n in range(6)
    ]
    engine = engine_of(str(place / "base"), DEVICE)
    together = [reply.ids for reply in engine.generate(asked)]
    alone = [engine.generate([one])[0].ids for one in asked]
    assert together == alone == [reply.ids for reply in engine_of(str(place / "base"), "cpu").generate(asked)]


def test_a_trained_adapter_answers_as_its_merge(place):
    """The adapter of a run on the device, merged there."""
    _, checkpoint = train(place, "taught", max_steps=8, learning_rate=1e-2)
    merged = run("merge-lora", ckpt_dir=str(checkpoint), device=DEVICE)["folders"]["merge-lora"]
    asked = Request.of([{"role": "user", "content": "Count to 3."}], max_new_tokens=8, temperature=0.0)
    given = {"ckpt_dir": str(checkpoint), "device": DEVICE}
    job = prepare("infer", [Given(name, value, "test") for name, value in given.items()])
    adapted = job.hook.start_engine(job=job).generate([dataclasses.replace(asked, adapter=checkpoint.name)])[0].ids
    plain = engine_of(str(place / "base"), DEVICE).generate([asked])[0].ids
    assert adapted == engine_of(str(merged), DEVICE).generate([asked])[0].ids != plain
