"""The examples that learn from real input, as users run them; the two long ones shortened to what must hold early."""

import importlib.util
import json
import random
import sys
from pathlib import Path

import pytest
from PIL import Image

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    """An example as a module."""
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / name)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_handwritten_digits_are_read(tmp_path):
    assert load("multimodal/digits.py").main(tmp_path / "digits", epochs=5) >= 0.9


def test_boxes_are_answered_and_drawn(tmp_path):
    grounding = load("multimodal/grounding.py")
    mean, level = grounding.main(tmp_path / "shapes", count=700, epochs=4)
    assert 0 <= level <= 1 and 0 <= mean <= 1
    answers = [json.loads(line) for line in (tmp_path / "shapes" / "answers.jsonl").read_text().splitlines()]
    assert sum("<|box_end|>" in a["response"] for a in answers) > 0.9 * len(answers)
    assert (tmp_path / "shapes" / "boxes.png").stat().st_size > 1000


def test_boxes_follow_what_a_crop_shows(monkeypatch):
    """A red rectangle on green: wherever a crop takes it, and in a mirror, its box is where the red is."""
    monkeypatch.syspath_prepend(EXAMPLES / "multimodal")
    photographs = load("multimodal/photographs.py")
    picture, box = Image.new("RGB", (300, 200), (0, 200, 0)), [120, 60, 220, 120]
    picture.paste((200, 0, 0), tuple(box))
    names = set()
    for seed in range(12):
        part, boxes = photographs.crop(picture, {"left eye": box}, random.Random(seed))
        ((name, found),) = boxes.items()
        red = part.getchannel("R").point(lambda value: 255 * (value > 70)).getbbox()
        assert part.size == (photographs.SIDE,) * 2 and all(abs(a - b) <= 2 for a, b in zip(red, found, strict=True))
        names.add(name)
    assert names == {"left eye", "right eye"}


def test_overlap_of_boxes():
    iou = load("multimodal/grounding.py").iou
    assert iou([0, 0, 10, 10], [0, 0, 10, 10]) == 1
    assert iou([0, 0, 10, 10], [5, 0, 15, 10]) == pytest.approx(1 / 3)
    assert iou([0, 0, 10, 10], [10, 10, 20, 20]) == 0


def test_the_loss_scale_is_compared_in_both_domains(tmp_path, capsys):
    """One seed in short: both arms learn when to call; what is measured stands in no training row."""
    folder = tmp_path / "agent"
    found = load("agent/run.py").main(folder, count=240, held=6, epochs=4, seeds=1)
    for arm in ("w/o loss-scale", "w/ loss-scale"):
        (metrics,) = found["in-domain"][arm]
        assert metrics["Plan.EM"] > 50 and 0 <= metrics["Avg.F1"] <= metrics["Act.EM"] <= 100
    printed = capsys.readouterr().out
    assert "out-of-domain) ablation tests" in printed and f"{metrics['Plan.EM']:.2f}" in printed
    asked, offered = {}, {}
    for name in ("train-0", "in-domain", "out-of-domain"):
        rows = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
        asked[name] = {row["messages"][0]["content"] for row in rows}
        offered[name] = {tool["function"]["name"] for row in rows for tool in row["tools"]}
    assert not asked["train-0"] & asked["in-domain"]
    assert offered["in-domain"] <= offered["train-0"] and not offered["out-of-domain"] & offered["train-0"]
