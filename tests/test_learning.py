"""The examples that learn from real input, as users run them; the two long ones shortened to what must hold early."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_handwritten_digits_are_read(tmp_path):
    assert load("multimodal/digits.py").main(tmp_path / "digits", epochs=8) >= 0.9


def test_boxes_are_answered_and_drawn(tmp_path):
    grounding = load("multimodal/grounding.py")
    mean, level = grounding.main(tmp_path / "shapes", count=1200, epochs=4)
    assert 0 <= level <= 1 and 0 <= mean <= 1
    answers = [json.loads(line) for line in (tmp_path / "shapes" / "answers.jsonl").read_text().splitlines()]
    assert sum("<|box_end|>" in a["response"] for a in answers) > 0.9 * len(answers)
    assert (tmp_path / "shapes" / "boxes.png").stat().st_size > 1000


def test_overlap_of_boxes():
    iou = load("multimodal/grounding.py").iou
    assert iou([0, 0, 10, 10], [0, 0, 10, 10]) == 1
    assert iou([0, 0, 10, 10], [5, 0, 15, 10]) == pytest.approx(1 / 3)
    assert iou([0, 0, 10, 10], [10, 10, 20, 20]) == 0


def test_tool_calls_are_learnt_and_measured(tmp_path):
    example = load("agent/run.py")
    found = example.main(tmp_path / "agent", count=480, held=8, epochs=6, runs=[("react", "agentflan")])
    metrics = found["react", "agentflan"]
    assert metrics["Plan.EM"] > 0.5
    assert 0 <= metrics["Args.EM"] <= metrics["Act.EM"] <= 1
    asked = [
        {json.loads(line)["messages"][0]["content"] for line in (tmp_path / "agent" / name).read_text().splitlines()}
        for name in ("train.jsonl", "held.jsonl")
    ]
    assert not asked[0] & asked[1]
