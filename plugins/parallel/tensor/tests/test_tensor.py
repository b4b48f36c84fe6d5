"""Processes that share products and experts learn what one process learns, and save what it saves."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import pytest
from swift_testing import ParallelContract
from swift_testing.contracts import bare_model

from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

sys.path.insert(0, str(Path(__file__).parent))

import tensor_jobs

WIDE = bool(os.environ.get("SWIFT_TEST_WIDE"))
TWO = {**tensor_jobs.CASES, **(tensor_jobs.MORE if WIDE else {})}
"""Four processes, by `make test-parallel`."""


class TestTensor(ParallelContract):
    name = "tensor"
    options = {"tensor_parallel_size": 2}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("tensor")
    cases = {**TWO, **(tensor_jobs.WIDE if WIDE else {})}
    tensor_jobs.write(str(place), {family for family, _, _ in cases.values()})
    return str(place)


def check_same(found, alone):
    assert found["losses"] == pytest.approx(alone["losses"], rel=1e-5, abs=1e-5)
    assert found["eval"] == pytest.approx(alone["eval"], rel=1e-5, abs=1e-5)
    assert found["norms"] == pytest.approx(alone["norms"], rel=1e-4)
    assert found["weights"].keys() == alone["weights"].keys()
    for key, value in alone["weights"].items():
        assert float((found["weights"][key] - value).abs().max()) < 1e-5 * max(1, float(value.abs().max())), key
    assert abs(alone["losses"][1] - alone["losses"][0]) > 1e-4, "Nothing was learnt."


def shares(own, processes):
    """How many processes see rows of their own."""
    return processes // own.get("tensor_parallel_size", 1)


@pytest.mark.parametrize("case", TWO)
def test_two_processes_learn_and_save_what_one_does(two, folder, case):
    _, _, own = TWO[case]
    alone = tensor_jobs.steps(case, folder, "alone", 4, {})
    for found in two.call(tensor_jobs.steps, case, folder, "two", 4 // shares(own, 2), own):
        check_same(found, alone)


@pytest.mark.skipif(not WIDE, reason="four processes: make test-parallel")
@pytest.mark.parametrize("case", tensor_jobs.WIDE)
def test_four_processes_learn_and_save_what_one_does(four, folder, case):
    _, _, own = tensor_jobs.WIDE[case]
    alone = tensor_jobs.steps(case, folder, "alone", 4, {})
    for found in four.call(tensor_jobs.steps, case, folder, "four", 4 // shares(own, 4), own):
        check_same(found, alone)


def test_a_run_goes_on_from_what_it_saved(two, folder):
    """Steps of AdamW, whose moments are saved whole and dealt out again."""
    adamw = {"training_args": {}, "learning_rate": 1e-2, "max_steps": 3, "save_steps": 1, **tensor_jobs.TWO}
    through = two.call(tensor_jobs.steps, "full", folder, "through", 2, adamw)[0]
    two.call(tensor_jobs.steps, "full", folder, "parts", 2, {**adamw, "max_steps": 1})
    for found in two.call(tensor_jobs.steps, "full", folder, "parts", 2, adamw, resume_from_checkpoint="last"):
        for key, value in through["weights"].items():
            assert float((found["weights"][key] - value).abs().max()) < 1e-6, key


def test_what_cannot_be_is_refused_before_a_model_is_loaded(monkeypatch):
    def checked(command="sft", **options):
        given = {"model": bare_model(), "device": "cpu", **options}
        job = prepare(command, [Given(k, v, "test") for k, v in given.items()])
        job.hook.check_job(job=job)

    two = {"tensor_parallel_size": 2, "launcher": "torchrun"}
    with pytest.raises(SwiftError, match="say how many: --launcher torchrun"):
        checked(tensor_parallel_size=2)
    with pytest.raises(SwiftError, match="say --fsdp true"):
        checked(hsdp=2, launcher="torchrun")
    with pytest.raises(SwiftError, match="does not support deepspeed: DeepSpeed splits weights by a plan"):
        checked(**two, deepspeed="zero2")
    with pytest.raises(SwiftError, match="both share the attention heads"):
        checked(**two, sequence_parallel_size=2)
    with pytest.raises(SwiftError, match=r"muon .* does not support tensor \(as fsdp\): it needs whole matrices"):
        checked(**two, optimizer="muon")
    with pytest.raises(SwiftError, match=r"grpo .* does not support tensor \(as fsdp\)"):
        checked("rlhf", rlhf_type="grpo", reward=["accuracy"], **two)
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "6"}.items():
        monkeypatch.setenv(name, value)
    for options, reason in (
        ({"tensor_parallel_size": 4}, "does not divide the 6 processes"),
        ({"fsdp": True, "hsdp": 4}, "6 processes with rows of their own do not make 4 equal copies"),
        ({"expert_parallel_size": 4}, "must divide the 6 processes that hold a copy"),
        ({"expert_parallel_size": 3, "tensor_parallel_size": 2}, "be a multiple of --tensor_parallel_size 2"),
        ({"expert_parallel_size": 6, "fsdp": True, "hsdp": 2}, "must divide the 3 processes"),
    ):
        with pytest.raises(SwiftError, match=reason):
            checked(**options)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"expert_parallel_size": 2}, "transformers has no plan for Qwen3ForCausalLM"),
        ({"tensor_parallel_size": 2, "tuner": "ia3"}, "the adapter of .* cannot be shared"),
        ({"tensor_parallel_size": 2, "tuner": "dora"}, "the adapter of .* cannot be shared"),
    ],
)
def test_a_model_that_cannot_be_shared_is_refused(two, folder, options, reason):
    for said in two.call(tensor_jobs.refused, "full", folder, options):
        assert re.search(reason, said)
