"""A breach of any rule of imports, planted in a copy of the checkout, is caught."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tools_of import ROOT, tool


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of this checkout, without tests and environments, to be broken at will."""
    copy = tmp_path_factory.mktemp("checkout")
    skip = shutil.ignore_patterns("tests", "__pycache__", ".venv", "*.json", "*.jsonl")
    for name in ("swift_core", "plugins", "contrib_models"):
        shutil.copytree(ROOT / name, copy / name, ignore=skip)
    return copy


def test_the_checkout_keeps_every_rule() -> None:
    done = tool("imports").check(ROOT)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("swift_core/contract/row.py", "from swift_core.job import options", "The kernel's rooms"),
        ("swift_core/job/job.py", "from swift_core.data import load", "The kernel's rooms"),
        ("swift_core/cli/work.py", "import torch", "The kernel is light"),
        ("swift_core/jobs/deploy.py", "import fastapi", "The kernel is light"),
        ("swift_core/jobs/train.py", "from swift_plugin_lora import Lora", "Plugins, runtime, kernel"),
        ("plugins/tuners/dora/swift_plugin_dora/__init__.py", "from swift_plugin_lora import Lora", "Plugins, runtime"),
        (
            "plugins/runtime/runtime/swift_plugin_runtime/loading/hub.py",
            "from swift_plugin_sft import Sft",
            "Plugins, runtime",
        ),
        (
            "contrib_models/yi/swift_plugin_yi/__init__.py",
            "from swift_core.jobs.train import run",
            "The scripts of jobs",
        ),
        ("swift_core/contract/errors.py", "from swift_core.contract import kinds", "No circle of imports"),
        (
            "swift_core/contract/errors.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from swift_core.contract import kinds",
            "No circle of imports",
        ),
    ],
)
def test_a_planted_breach_is_caught(checkout: Path, file: str, line: str, rule: str) -> None:
    place = checkout / file
    sound = place.read_text(encoding="utf-8")
    place.write_text(f"{sound}\n{line}\n", encoding="utf-8")
    try:
        done = tool("imports").check(checkout)
    finally:
        place.write_text(sound, encoding="utf-8")
    broken = [words for words in done.stdout.splitlines() if words.endswith("BROKEN")]
    assert done.returncode and any(words.startswith(rule) for words in broken), done.stdout + done.stderr
