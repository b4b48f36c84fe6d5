"""Every floor holds; one that is too low, or a requirement that is missing, is found."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from tools_of import ROOT, tool

HAS_HISTORY = (ROOT / ".git").exists()


@pytest.fixture(scope="module")
def floors() -> ModuleType:
    return tool("floors")


@pytest.mark.skipif(not HAS_HISTORY, reason="older versions stand in the history of the repository")
def test_every_floor_of_this_repository_holds(floors: ModuleType) -> None:
    assert floors.mistakes() == []


def write(folder: Path, name: str, version: str, needs: str, module: str, code: str) -> None:
    package = folder / module
    package.mkdir(parents=True, exist_ok=True)
    text = f'[project]\nname = "{name}"\nversion = "{version}"\ndependencies = [{needs}]\n'
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    (package / "__init__.py").write_text(code, encoding="utf-8")


def commit(root: Path, message: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "add", "-A"], cwd=root, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", message], cwd=root, check=True)


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A repository whose runtime got `new` in 0.2, and whose kernel has one version."""
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    runtime = tmp_path / "plugins" / "runtime" / "runtime"
    write(tmp_path, "swift-core", "1.0", "", "swift_core", "x = 1\n")
    write(runtime, "swift-plugin-runtime", "0.1", '"swift-core>=1.0"', "swift_plugin_runtime", "old = 1\n")
    commit(tmp_path, "first")
    write(runtime, "swift-plugin-runtime", "0.2", '"swift-core>=1.0"', "swift_plugin_runtime", "old = new = 1\n")
    commit(tmp_path, "second")
    return tmp_path


@pytest.mark.parametrize(
    ("needs", "code", "complaint"),
    [
        ('"swift-plugin-runtime>=0.1"', "from swift_plugin_runtime import old", ""),
        ('"swift-plugin-runtime>=0.2"', "from swift_plugin_runtime import new", ""),
        ('"swift-plugin-runtime>=0.1"', "from swift_plugin_runtime import new", "0.1 does not have: raise the floor"),
        ('"swift-plugin-runtime>=0.3"', "from swift_plugin_runtime import new", "no commit has that version"),
        ("", "from swift_plugin_runtime import new", "does not require swift-plugin-runtime"),
    ],
)
def test_a_floor_is_held_to_the_version_that_it_names(
    floors: ModuleType, house: Path, needs: str, code: str, complaint: str
) -> None:
    write(house / "plugins" / "tuners" / "mine", "swift-plugin-mine", "0.1", needs, "swift_plugin_mine", code + "\n")
    found = floors.mistakes(house)
    assert [complaint in line for line in found] == ([True] if complaint else [])
