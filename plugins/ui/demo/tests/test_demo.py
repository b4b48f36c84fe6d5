"""The demo runs to its end in a process of its own, and the model has learnt both tasks."""

from __future__ import annotations

import re
import subprocess
import sys

from swift_plugin_demo import QUESTION


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
    for file in ("loss.png", "merged/config.json", "backwards/checkpoint-228/adapter_config.json"):
        assert (tmp_path / "run" / file).is_file(), file


def test_demo_leaves_a_strange_folder_alone(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    command = [sys.executable, "-m", "swift_core", "demo", "--folder", "mine"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "was not made by the demo" in done.stderr and "Traceback" not in done.stderr
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "x"
