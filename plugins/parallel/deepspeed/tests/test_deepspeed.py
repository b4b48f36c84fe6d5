"""DeepSpeed: its settings, and what is refused before anything is loaded."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest
from swift_plugin_deepspeed import STAGES, zero_settings
from swift_testing import ParallelContract
from swift_testing.contracts import bare_model

from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

sys.path.insert(0, str(Path(__file__).parent))

import zero_runs


class TestDeepSpeed(ParallelContract):
    name = "deepspeed"
    options = {"deepspeed": "zero2"}


def checked(command="sft", **options):
    values = {"model": bare_model(), "device": "cpu", **options}
    job = prepare(command, [Given(k, v, "test") for k, v in values.items()])
    job.hook.check_job(job=job)


def test_settings_are_a_stage_or_a_file(tmp_path):
    assert [zero_settings(name)["zero_optimization"]["stage"] for name in STAGES] == [0, 1, 2, 3, 2, 3]
    with pytest.raises(SwiftError, match="nor a JSON file"):
        zero_settings("zero4")
    for text, reason in (("{", "not valid JSON"), ("[]", "JSON object, found list")):
        (tmp_path / "settings.json").write_text(text)
        with pytest.raises(SwiftError, match=reason):
            zero_settings(str(tmp_path / "settings.json"))


def test_what_cannot_be_is_refused_with_the_reason(tmp_path, monkeypatch):
    """Also components that declare so: they are asked by the name of this one."""
    with pytest.raises(SwiftError, match="say how many: --launcher torchrun"):
        checked(deepspeed="zero2")
    with pytest.raises(SwiftError, match="both split the model"):
        checked(deepspeed="zero2", fsdp=True, launcher="torchrun")
    with pytest.raises(SwiftError, match=r"adafactor .* does not support deepspeed: it needs whole matrices"):
        checked(deepspeed="zero2", optimizer="adafactor", launcher="torchrun")
    with pytest.raises(SwiftError, match=r"quantizer 'bnb' .* cannot be split"):
        checked(deepspeed="zero3", quantizer="bnb", quant_bits=8, launcher="torchrun")
    real = importlib.util.find_spec  # as if the engine were installed, and nothing else that is asked for meanwhile
    monkeypatch.setattr("importlib.util.find_spec", lambda n, *more: n == "deepspeed" or real(n, *more))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(SwiftError, match=r"ninja and g\+\+ cannot be found"):
        checked(deepspeed="zero2", launcher="torchrun")
    for name in ("ninja", "g++"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / name).chmod(0o755)
    checked(deepspeed="zero2", launcher="torchrun")
    settings = tmp_path / "three.json"
    settings.write_text(json.dumps({"zero_optimization": {"stage": 3}}))
    for stage in ("zero3", str(settings)):
        with pytest.raises(SwiftError, match="the others would wait for ever"):
            checked("rlhf", rlhf_type="gkd", teacher_model=bare_model(), deepspeed=stage, launcher="torchrun")
    own = {"launcher": "torchrun", "deepspeed": str(settings), "tuner": "full"}
    for method in ("dpo", "kto"):
        with pytest.raises(SwiftError, match=r"is a copy of it, and ZeRO 3 keeps none. Say --deepspeed zero2"):
            checked("rlhf", rlhf_type=method, **own)
        checked("rlhf", rlhf_type=method, **{**own, "tuner": ["lora", "neftune"]})
        checked("rlhf", rlhf_type=method, **{**own, "deepspeed": "zero2"})
    checked("rlhf", rlhf_type="dpo", reference_free=True, **own)
    checked("rlhf", rlhf_type="orpo", **own)
    with pytest.raises(SwiftError, match="DeepSpeed would make a step after each"):
        checked("rlhf", rlhf_type="grpo", reward=["accuracy"], deepspeed="zero2", launcher="torchrun")


# -- ZeRO 3: two processes read their parts of the weights ------------------------------------------------------
heavy = pytest.mark.skipif(os.environ.get("SWIFT_TEST_DEEPSPEED") != "1", reason="make test-deepspeed")


@heavy
@pytest.mark.parametrize("tuner", ["full", "lora"])
def test_zero_3_learns_what_one_process_learns(two, tmp_path, tuner):
    """No process reads the whole; losses and saved weights are those of one process, also across a stop."""
    zero_runs.write(tmp_path)
    whole = zero_runs.learnt(str(tmp_path), "whole", 2, tuner)
    for found in two.call(zero_runs.learnt, str(tmp_path), "split", 1, tuner, deepspeed="zero3"):
        assert found["losses"] == pytest.approx(whole["losses"], abs=1e-5)
        assert zero_runs.apart(found["weights"], whole["weights"]) < 2e-5
        check_split(found["said"])
    zero_runs.stop(tmp_path / "split", 2)
    go_on = {"deepspeed": "zero3", "resume_from_checkpoint": "last"}
    for found in two.call(zero_runs.learnt, str(tmp_path), "split", 1, tuner, **go_on):
        assert zero_runs.apart(found["weights"], whole["weights"]) < 2e-5


@heavy
def test_under_zero_3_an_adapter_is_held_to_the_model_without_it(two, tmp_path):
    """dpo: AdamW's steps move each weight by some 0.01, ten times those of the other tests."""
    zero_runs.write(tmp_path)
    pairs = {"rlhf_type": "dpo", "learning_rate": 1e-2}
    whole = zero_runs.learnt(str(tmp_path), "whole", 2, "lora", **pairs)
    assert whole["losses"][0] == pytest.approx(0.6931, abs=1e-4) and abs(whole["losses"][-1] - 0.6931) > 1e-3
    for found in two.call(zero_runs.learnt, str(tmp_path), "split", 1, "lora", deepspeed="zero3", **pairs):
        assert found["losses"] == pytest.approx(whole["losses"], abs=1e-5)
        assert zero_runs.apart(found["weights"], whole["weights"]) < 2e-4


@heavy
def test_zero_3_computes_in_bfloat16_where_it_is_asked(two, tmp_path):
    """Adapters in float32 beside bfloat16 weights: DeepSpeed computes in one type, and casts none that it has taken."""
    zero_runs.write(tmp_path)
    more = {"torch_dtype": "bfloat16", "bf16": True}
    whole = zero_runs.learnt(str(tmp_path), "whole", 2, "lora", **more)
    for found in two.call(zero_runs.learnt, str(tmp_path), "split", 1, "lora", deepspeed="zero3", **more):
        assert found["losses"] == pytest.approx(whole["losses"], abs=0.05)


@heavy
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_zero_3_trains_adapters_on_weights_of_4_bits(two, tmp_path, precision):
    """No process holds the whole of what is packed; losses and saved weights are those of one process."""
    zero_runs.write(tmp_path, hidden_size=64)
    packed, near = {"quantizer": "bnb", "torch_dtype": precision}, 1e-5 if precision == "float32" else 0.05
    packed |= {"bf16": True, "bnb_4bit_compute_dtype": "bfloat16"} if precision == "bfloat16" else {}
    whole = zero_runs.learnt(str(tmp_path), "whole", 2, "lora", **packed)
    for found in two.call(zero_runs.learnt, str(tmp_path), "split", 1, "lora", deepspeed="zero3", **packed):
        assert found["losses"] == pytest.approx(whole["losses"], abs=near)
        assert precision != "float32" or zero_runs.apart(found["weights"], whole["weights"]) < 2e-5
        assert all("lora_" in name for name in found["gathered"])
        check_split(found["said"])


def check_split(said):
    """A process read its part and keeps half, as its lines tell."""
    assert not any("reads the whole checkpoint" in line for line in said)
    (line,) = (line for line in said if line.startswith("ZeRO 3: this process holds "))
    held, _, count = line.removeprefix("ZeRO 3: this process holds ").split()[:3]
    assert int(held) < 0.51 * int(count)
