"""A breach of any rule of imports, planted in a copy of the checkout, is caught."""

from __future__ import annotations

import re
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


# file that breaks a rule → (the line planted in it, the rule, what the check must say)
BREACHES = {
    "swift_core/contract/row.py": (
        "from swift_core.job import options",
        "The kernel's rooms",
        "swift_core.contract.row -> swift_core.job.options",
    ),
    "swift_core/job/job.py": (
        "from swift_core.data import load",
        "The kernel's rooms",
        "swift_core.job.job -> swift_core.data.load",
    ),
    "swift_core/cli/work.py": ("import torch", "The kernel is light", "swift_core.cli.work -> torch"),
    "swift_core/jobs/deploy.py": ("import fastapi", "The kernel is light", "swift_core.jobs.deploy -> fastapi"),
    "swift_core/jobs/train.py": (
        "from swift_plugin_lora import Lora",
        "Plugins, runtime, kernel",
        "swift_core.jobs.train -> swift_plugin_lora",
    ),
    "plugins/tuners/dora/swift_plugin_dora/__init__.py": (
        "from swift_plugin_lora import Lora",
        "Plugins, runtime, kernel",
        "swift_plugin_dora -> swift_plugin_lora",
    ),
    "plugins/runtime/runtime/swift_plugin_runtime/loading/hub.py": (
        "from swift_plugin_sft import Sft",
        "Plugins, runtime, kernel",
        "swift_plugin_runtime.loading.hub -> swift_plugin_sft",
    ),
    "contrib_models/yi/swift_plugin_yi/__init__.py": (
        "from swift_core.jobs.train import run",
        "The scripts of jobs",
        "swift_plugin_yi -> swift_core.jobs.train",
    ),
    "swift_core/contract/errors.py": (
        "from swift_core.contract import kinds",
        "No circle of imports",
        "No cycles are allowed in swift_core.contract.",
    ),
    "swift_core/catalogue/metadata_cache.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from swift_core.catalogue import entries",
        "No circle of imports",
        "No cycles are allowed in swift_core.catalogue.",
    ),
}


@pytest.fixture(scope="module")
def told(checkout: Path) -> str:
    """What the check says of a checkout with every breach at once: one look at all modules takes seconds."""
    for file, (line, _, _) in BREACHES.items():
        with (checkout / file).open("a", encoding="utf-8") as end:
            end.write(f"\n{line}\n")
    done = tool("imports").check(checkout)
    assert done.returncode, done.stdout
    return done.stdout


@pytest.mark.parametrize(("line", "rule", "said"), BREACHES.values(), ids=BREACHES)
def test_a_planted_breach_is_caught(told: str, line: str, rule: str, said: str) -> None:
    assert re.search(rf"^{re.escape(rule)}.* BROKEN$", told, re.MULTILINE)
    words = told.partition("Broken contracts")[2].split(rule)[-1]
    assert said in words, f"{line}: {words[:3000]}"
