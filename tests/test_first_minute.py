"""What a job shows in its first minute: our own lines and bars, nothing of the libraries beneath, no long silence."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from swift_testing.contracts import CHAT, write_rows
from swift_testing.tiny import tiny_qwen2

from swift_core.jobs import announce

OURS = re.compile(r"(Template|Model:|Data:|Trains:|Steps:|training:|Done\.|  (checkpoint|log|curves): )")


def test_a_job_shows_its_own_lines_alone(tmp_path: Path) -> None:
    model = tiny_qwen2(tmp_path / "tiny", ["hello there"])
    words = ["--model", model, "--dataset", write_rows(tmp_path, CHAT), "--template", "chatml", "--tuner", "lora"]
    words += ["--output_dir", str(tmp_path / "out"), "--max_steps", "2", "--device", "cpu"]
    command = [sys.executable, "-m", "swift_core", "sft", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [line for line in re.split(r"[\r\n]+", done.stderr) if line.strip()]
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert [line for line in lines if not OURS.match(line)] == []
    begun = [line.partition(" ")[0] for line in lines]
    assert begun[:5] == ["Template", "Model:", "Data:", "Trains:", "Steps:"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, patience: float) -> str:
    """What stands in `stream` after a block that waits for it to be told, a second at most."""
    monkeypatch.setattr(announce, "PATIENCE", patience)
    monkeypatch.setattr(sys, "stderr", stream)
    with announce.waiting("loading the model"):
        until = time.monotonic() + 1
        while not stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    return stream.getvalue()


def test_a_terminal_is_told_what_a_silence_is_spent_on(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(Terminal(), monkeypatch, 0.01) == "loading the model …\n"
    assert shown(Terminal(), monkeypatch, 60) == ""
    assert shown(io.StringIO(), monkeypatch, 0.01) == ""
