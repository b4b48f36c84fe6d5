"""docs/add-your-model.md keeps its word: a made-up family, from `swift new model` to a trained adapter."""

from __future__ import annotations

import re
from pathlib import Path

from fresh_venv import ROOT, Venv
from swift_testing import warm
from test_docs import BLOCK, _commands, _run


def test_the_page_runs(tmp_path: Path) -> None:
    """Files named before a block are written; `$` lines run, and what follows them stands in their output."""
    venv = Venv(tmp_path / "venv", with_ours=True)
    programs = warm.path(tmp_path / "bin", venv.folder)
    folder = tmp_path / "work"
    folder.mkdir()
    text = (ROOT / "docs" / "add-your-model.md").read_text(encoding="utf-8")
    commands = written = 0
    for block in BLOCK.finditer(text):
        _, language, body = block.groups()
        named = re.findall(r"`([\w./-]+\.(?:py|toml))`(?: to)?:\s*\Z", text[: block.start()])
        if language in ("python", "toml") and named:
            (folder / named[-1]).write_text(body, encoding="utf-8")
            written += 1
        elif language == "console":
            for command, expected in _commands(body):
                commands += 1
                _run(venv, programs, command, expected, folder)
    assert commands >= 10 and written == 3
    assert (folder / "out" / "checkpoint-6" / "adapter_model.safetensors").is_file()
