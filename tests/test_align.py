"""The alignment example in small: preferences and rewards move held-out figures, in a minute of one core."""

import importlib.util
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent.parent / "examples" / "rlhf"


def load(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"rlhf_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_dpo_and_grpo_learn_on_numbers_never_seen(tmp_path):
    found = load("align").align(tmp_path / "align", sft=100, dpo=16, grpo=24)
    before, after = found["dpo"]["rewards/margins"]
    assert before == pytest.approx(0, abs=1e-4) and after > 0.06
    assert found["dpo"]["rewards/accuracies"][1] > 0.75
    before, after = found["grpo"]["reward"]
    assert after > before + 0.04
    for method in ("dpo", "grpo"):
        assert (tmp_path / "align" / method / "curves.png").stat().st_size > 1000


def test_numbers_in_words():
    align = load("align")
    assert align.words(0) == "zero" and align.words(473) == "four hundred seventy-three"
    assert align.words(900) == "nine hundred" and align.words(17) == "seventeen"


def test_rows_of_every_method_are_made_from_the_pairs(tmp_path):
    """Each form holds what its method reads; documents are three near misses and the right words."""
    import json

    methods = load("methods")
    methods.write_forms(tmp_path)
    for name in {method.rows for method in methods.METHODS.values()} - {"pictures"}:
        rows = [json.loads(line) for line in (tmp_path / f"{name}-held.jsonl").read_text().splitlines()]
        assert len(rows) == (200 if name == "labelled" else 100)
    document = json.loads((tmp_path / "documents-held.jsonl").read_text().splitlines()[0])
    assert len(document["negative"]) == 3 and document["positive"] not in document["negative"]
