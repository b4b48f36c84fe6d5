"""FSDP2 keeps the contract of its kind, and processes of which only some have a picture take the same steps.

Whole jobs, saved and resumed, are tested with the launcher; every method in tests/test_whole_runs.py.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from swift_testing import ParallelContract

sys.path.insert(0, str(Path(__file__).parent))

import mixed_ranks


class TestFsdp(ParallelContract):
    name = "fsdp"
    options = {"fsdp": True}


WAYS = {
    "ddp": {},
    "ddp, recomputing": {"gradient_checkpointing": True},
    "fsdp": {"fsdp": True},
    **({"zero3": {"deepspeed": "zero3"}} if os.environ.get("SWIFT_TEST_DEEPSPEED") else {}),
}
ALWAYS = {
    ("qwen2_vl", "ddp"),
    ("llava1_5_hf", "ddp, recomputing"),
    *((family, "fsdp") for family, modality in mixed_ranks.FAMILIES.items() if modality != "video"),
}
"""What `make test` runs; `make test-parallel` runs every family in every way."""

WIDE = bool(os.environ.get("SWIFT_TEST_WIDE"))
READY = [f for f, modality in mixed_ranks.FAMILIES.items() if modality != "video" or find_spec("torchvision")]
CASES = [(family, way) for family in READY for way in WAYS if WIDE or (family, way) in ALWAYS]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A function from a case to its folder and what one process learns there, once."""

    @functools.cache
    def learnt(case):
        folder = tmp_path_factory.mktemp(mixed_ranks.family_of(case))
        mixed_ranks.write(case, folder)
        return str(folder), mixed_ranks.moved(case, str(folder), "alone", 2)

    return learnt


@pytest.mark.parametrize(("case", "way"), CASES)
def test_one_process_has_the_medium(two, alone, case, way):
    folder, expected = alone(case)
    for found in two.call(mixed_ranks.moved, case, folder, way.replace(", ", "-"), 1, **WAYS[way]):
        assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4, abs=1e-5)
        assert found["weights"].keys() == expected["weights"].keys()
        for key, value in expected["weights"].items():
            assert float((found["weights"][key] - value).abs().max()) < 1e-5, key
