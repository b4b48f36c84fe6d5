"""Two processes that share the tokens of each row learn what one learns: every loss and every gradient."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from swift_testing import ParallelContract
from swift_testing.contracts import bare_model, tiny_model

from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

sys.path.insert(0, str(Path(__file__).parent))

import cut_models
import sequence_jobs


class TestSequence(ParallelContract):
    name = "sequence"
    options = {"sequence_parallel_size": 2}


@pytest.mark.parametrize("shape", cut_models.SHAPES)
def test_losses_and_gradients_are_those_of_one_process(two, shape):
    alone = cut_models.whole(shape)
    first, second = two.call(cut_models.cut, shape)
    assert ("by two pieces of the row" in first["said"]) == ("pieces" in shape)
    for name, expected in alone.items():
        for key, value in expected.items():
            for found in (first, second):
                apart = float((found[name][key] - value).abs().max() / value.abs().max())
                assert apart < 1e-5, f"{name}, {key}: {apart}"


@pytest.mark.parametrize("method", sequence_jobs.METHODS)
def test_a_method_takes_the_steps_of_one_process(two, tmp_path, method):
    """Weights after two steps of plain gradient descent, in which every gradient is seen."""
    base = tiny_model("qwen2")
    alone = sequence_jobs.steps(method, base, str(tmp_path), "alone")
    split = {"fsdp": True} if method == "sft" else {}
    for found in two.call(sequence_jobs.steps, method, base, str(tmp_path), "two", sequence_parallel_size=2, **split):
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=1e-6)
        assert found["eval"] == pytest.approx(alone["eval"], rel=1e-5, abs=1e-6)
        for name, value in alone["weights"].items():
            assert float((found["weights"][name] - value).abs().max()) < 1e-5 * max(1, float(value.abs().max())), name
    assert abs(alone["losses"][1] - alone["losses"][0]) > 1e-4, "Nothing was learnt."


@pytest.mark.skipif(not os.environ.get("SWIFT_TEST_WIDE"), reason="four processes: make test-parallel")
@pytest.mark.parametrize("split", [{}, {"fsdp": True}, {"fsdp": True, "hsdp": 2}], ids=["ddp", "fsdp", "hsdp"])
def test_two_groups_of_two_processes_take_the_steps_of_one(four, tmp_path, split):
    """Sequence × data: each group has a row of the two of a step."""
    base, shared = tiny_model("qwen2"), {"sequence_parallel_size": 2, "per_device_train_batch_size": 1, **split}
    alone = sequence_jobs.steps("sft", base, str(tmp_path), "alone")
    for found in four.call(sequence_jobs.steps, "sft", base, str(tmp_path), "four", **shared):
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=1e-6)
        for name, value in alone["weights"].items():
            assert float((found["weights"][name] - value).abs().max()) < 1e-5 * max(1, float(value.abs().max())), name


def test_models_that_would_compute_something_else_are_refused(two):
    for kind, reason in (("looks back", "has other losses or gradients"), ("eager", "has eager")):
        for said in two.call(cut_models.refused, kind):
            assert reason in said


def test_what_cannot_be_is_refused_before_a_model_is_loaded(monkeypatch):
    def checked(command="sft", **options):
        given = {"model": bare_model(), "device": "cpu", "sequence_parallel_size": 2, **options}
        job = prepare(command, [Given(k, v, "test") for k, v in given.items()])
        job.hook.check_job(job=job)

    with pytest.raises(SwiftError, match="say how many: --launcher torchrun"):
        checked()
    with pytest.raises(SwiftError, match="leave --attn_impl out"):
        checked(launcher="torchrun", attn_impl="eager")
    for method in ("ppo", "gkd", "rm"):
        with pytest.raises(SwiftError, match=f"{method} .* does not support sequence"):
            checked("rlhf", rlhf_type=method, launcher="torchrun", reward=["accuracy"] if method == "ppo" else [])
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SwiftError, match="does not divide the 3 processes"):
        checked()
