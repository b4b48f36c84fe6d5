"""The files for the forge call what a developer calls: no step of theirs knows more than the Makefile."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_workflows_call_ci_run_or_targets_of_the_makefile() -> None:
    called = set()
    for file in WORKFLOWS:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            targets = job["strategy"]["matrix"].get("target", [])
            assert set(targets) <= TARGETS, (file.name, name, set(targets) - TARGETS)
            called |= {step["run"] for step in job["steps"] if "run" in step}
    assert called == {".ci/run", "make ${{ matrix.target }}"}


def test_every_heavy_target_is_run_by_the_forge() -> None:
    heavy = yaml.safe_load((ROOT / ".github/workflows/heavy.yml").read_text())
    named = set(heavy["jobs"]["heavy"]["strategy"]["matrix"]["target"])
    assert named == {target for target in TARGETS if target.startswith("test-")}


def test_forms_ask_for_the_report() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    assert any("swift doctor --report" in part["attributes"]["label"] for part in form["body"])
