"""The files for the forge call what a developer calls: no step of theirs knows more than the Makefile."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import yaml
from fresh_venv import run

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))
TARGETS = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))


def test_workflows_call_ci_run_or_targets_of_the_makefile() -> None:
    called, prepared = set(), set()
    for file in WORKFLOWS:
        for name, job in yaml.safe_load(file.read_text())["jobs"].items():
            targets = job["strategy"]["matrix"].get("target", [])
            assert set(targets) <= TARGETS, (file.name, name, set(targets) - TARGETS)
            *before, last = [step["run"] for step in job["steps"] if "run" in step]
            called, prepared = called | {last}, prepared | {step.split()[0] for step in before}
    assert called == {".ci/run", "make ${{ matrix.target }}"} and prepared == {"git", "apt-get"}


def test_every_heavy_target_is_run_by_the_forge() -> None:
    heavy = yaml.safe_load((ROOT / ".github/workflows/heavy.yml").read_text())
    named = set(heavy["jobs"]["heavy"]["strategy"]["matrix"]["target"])
    assert named == {target for target in TARGETS if target.startswith(("test-", "bench-"))}


def test_the_forge_installs_the_packages_that_targets_need() -> None:
    """Debian's, which stand in the comment above a target."""
    above = re.findall(r"((?:^#.*\n)+)(?:^[\w-]+: export.*\n)?^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)
    told = {name: re.search(r"\(Debian: ([^)]*)\)", text.replace("\n# ", " ")) for text, name in above}
    needed = {name: found[1].replace(",", "").split() for name, found in told.items() if found}
    matrix = yaml.safe_load((ROOT / ".github/workflows/heavy.yml").read_text())["jobs"]["heavy"]["strategy"]["matrix"]
    assert needed and needed == {each["target"]: each["packages"].split() for each in matrix["include"]}


def test_where_releases_are_looked_at_their_tags_are_there() -> None:
    for file in WORKFLOWS:
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            if {"release-check", "test-release"} & {*job["strategy"]["matrix"].get("target", [])}:
                assert job["steps"][0]["with"] == {"fetch-depth": 0}


def test_forms_ask_for_the_report() -> None:
    form = yaml.safe_load((ROOT / ".github/ISSUE_TEMPLATE/bug.yml").read_text())
    assert any("swift doctor --report" in part["attributes"]["label"] for part in form["body"])


def test_containers_install_and_start_what_there_is() -> None:
    names = {tomllib.loads(file.read_text())["project"]["name"] for file in ROOT.glob("plugins/*/*/pyproject.toml")}
    recipe = (ROOT / "docker/Dockerfile").read_text()
    assert set(re.search(r'PLUGINS="(.*)"', recipe)[1].split()) <= names
    services = yaml.safe_load((ROOT / "docker/compose.yaml").read_text())["services"]
    for service in services.values():
        command, *words = service["command"]
        shown = run([sys.executable, "-m", "swift_core", command, "--help"]).stdout
        assert [word for word in words if word.startswith("--") and word not in shown] == []
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
