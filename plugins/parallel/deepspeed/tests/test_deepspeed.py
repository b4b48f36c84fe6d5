"""DeepSpeed: its settings, and what is refused before anything is loaded."""

from __future__ import annotations

import json

import pytest
from swift_plugin_deepspeed import STAGES, zero_settings
from swift_testing import ParallelContract
from swift_testing.contracts import bare_model

from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


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
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())  # as if the engine were installed
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
    with pytest.raises(SwiftError, match="DeepSpeed would make a step after each"):
        checked("rlhf", rlhf_type="grpo", reward=["accuracy"], deepspeed="zero2", launcher="torchrun")
