"""FSDP2 keeps the contract of its kind, and processes of which only some have a picture take the same steps.

Whole jobs, saved and resumed, are tested with the launcher; every method in tests/test_whole_runs.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from swift_testing import ParallelContract
from swift_testing.processes import Processes

sys.path.insert(0, str(Path(__file__).parent))

import mixed_ranks


class TestFsdp(ParallelContract):
    name = "fsdp"
    options = {"fsdp": True}


@pytest.fixture(scope="module")
def two():
    """Two processes that the tests of this module share."""
    with Processes(2) as processes:
        yield processes


WAYS = {"ddp": {}, "ddp, recomputing": {"gradient_checkpointing": True}, "fsdp": {"fsdp": True}}


@pytest.mark.parametrize("family", mixed_ranks.FAMILIES)
def test_one_process_has_the_picture(two, family, tmp_path):
    mixed_ranks.write(family, tmp_path)
    alone = mixed_ranks.moved(family, str(tmp_path), "alone", 2)
    for name, options in WAYS.items():
        for found in two.call(mixed_ranks.moved, family, str(tmp_path), name, 1, **options):
            assert found["losses"] == pytest.approx(alone["losses"], rel=1e-4, abs=1e-5), name
            assert found["weights"].keys() == alone["weights"].keys()
            for key, value in alone["weights"].items():
                assert float((found["weights"][key] - value).abs().max()) < 1e-5, (name, key)
