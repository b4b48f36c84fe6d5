"""What `swift` says of a job before it runs: refusals (`swift explain`), memory and time (`swift plan`)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from swift_plugin_webui.forms.written import WrittenJob

SECONDS = 180
"""After so long an answer is given up."""

PLANNED = ("pt", "sft", "rlhf", "train", "infer", "deploy")
"""Jobs that `swift plan` knows."""


def refusal(written: WrittenJob) -> str:
    """Why the job would be refused before it loads anything; empty where it would not."""
    code, text = _asked(["explain", written.job], written)
    return "" if code == 0 else _sentence(text)


def plan(written: WrittenJob, gib: int = 0, elsewhere: bool = False) -> str:
    """Memory, steps, time and disk as text, or why no plan can be made; empty for jobs that it does not know.

    gib: memory of a device, in place of what this machine has free. elsewhere: that device is a GPU, and none is here.
    """
    if written.job not in PLANNED:
        return ""
    words = ["--memory_gib", str(gib)] if gib else []
    words += ["--device", "cuda"] if gib and elsewhere and "device" not in written.values else []
    code, text = _asked(["plan", written.job, *words], written)
    head = f"swift plan {written.job} {' '.join([*words, '…'])}\n\n" if words else ""
    return head + (text.strip() if code == 0 else _sentence(text))


def look(written: WrittenJob, **asked: Any) -> dict[str, Any]:
    """Rows of a data set as `swift_plugin_webui.look` gives them; `error` where it cannot.

    asked: what that takes beside the job: first, count, folders, examples.
    """
    asked |= {"job": written.job, "values": written.values}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "look.json")
        file.write_text(json.dumps(asked, ensure_ascii=False), encoding="utf-8")
        code, text = _run([sys.executable, "-m", "swift_plugin_webui.look", str(file)])
    try:
        return dict(json.loads(text.strip().splitlines()[-1]))
    except (ValueError, IndexError):
        return {"error": _sentence(text) or f"exit code {code}"}


def _asked(words: list[str], written: WrittenJob) -> tuple[int, str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "job.yaml")
        file.write_text(written.as_yaml(), encoding="utf-8")
        return _run([sys.executable, "-m", "swift_core", *words, *(["--config", str(file)] if written.values else [])])


def _run(command: list[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return 124, f"No answer within {SECONDS} seconds."
    return done.returncode, done.stdout if done.returncode == 0 else done.stderr


def _sentence(text: str) -> str:
    """What follows `swift:`, else the last line."""
    before, found, after = text.rpartition("swift: ")
    lines = [line for line in text.splitlines() if line.strip()]
    return after.strip() if found and (not before or before.endswith("\n")) else (lines or [""])[-1]
