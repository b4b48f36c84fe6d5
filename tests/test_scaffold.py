"""`swift new` writes, for every kind, a plugin that installs and passes its own contract test at once."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from fresh_venv import ROOT, Venv, run, uv
from swift_testing import warm

from swift_core.cli.scaffold import EXAMPLES, write_plugin
from swift_core.contract.errors import SwiftError
from swift_core.contract.kinds import KINDS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One new plugin of every kind."""
    folder = tmp_path_factory.mktemp("new")
    return {kind: write_plugin(kind, f"my-{kind}", folder) for kind in KINDS}


@pytest.fixture(scope="module")
def venv(written: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Venv:
    """An environment with all of them installed, editable."""
    made = Venv(tmp_path_factory.mktemp("venv") / "v", with_ours=True)
    editable = [word for place in written.values() for word in ("-e", str(place))]
    uv("pip", "install", "--quiet", "--no-deps", "--python", str(made.python), *editable)
    return made


@pytest.fixture(scope="module")
def outcomes(written: dict[str, Path], venv: Venv, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Kind → what was wrong with its tests; all kinds in one pytest run."""
    report = tmp_path_factory.mktemp("report") / "junit.xml"
    pytest = warm.path(report.parent / "bin", venv.folder) / "pytest"
    words = ["-q", "--import-mode=importlib", "-p", "no:cacheprovider", "-W", "ignore", f"--junitxml={report}"]
    done = run([str(pytest), *words, *[str(p / "tests") for p in written.values()]], check=False)
    found: dict[str, list[str]] = {}
    for case in ElementTree.parse(report).iter("testcase"):
        kind = next(k for k in KINDS if f"test_my_{k}." in case.attrib["classname"] + ".")
        bad = [f"{case.attrib['name']}: {(part.text or '')[-1500:]}" for part in case if part.tag != "system-out"]
        found.setdefault(kind, []).extend(bad)
    assert found, done.stdout + done.stderr
    return found


def test_there_is_an_example_of_every_kind() -> None:
    assert set(EXAMPLES) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_the_new_plugin_passes_its_own_test(kind: str, outcomes: dict[str, list[str]]) -> None:
    assert outcomes.get(kind) == []


def test_they_are_listed_and_sound(venv: Venv) -> None:
    listed = venv.run("-m", "swift_core", "list", "--search", "swift-plugin-my-").stdout
    assert all(f"my-{kind}" in listed for kind in KINDS), listed
    assert "swift-plugin-my-" not in venv.run("-m", "swift_core", "doctor", check=False).stdout


def test_what_is_written_is_clean(written: dict[str, Path]) -> None:
    ruff = Path(sys.executable).with_name("ruff")
    for command in (["check"], ["format", "--check"]):
        words = [*command, "--config", str(ROOT / "pyproject.toml"), "."]
        run([str(ruff), *words], cwd=written["model"].parent)


def test_a_model_is_a_page(written: dict[str, Path]) -> None:
    module = written["model"] / "swift_plugin_my_model" / "__init__.py"
    assert len(module.read_text().splitlines()) <= 25


@pytest.mark.parametrize("name", ["9lives", "a b", "Lora", "class", "x", "../evil", "ünï", ""])
def test_a_bad_name_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="cannot be a component's name"):
        write_plugin("tuner", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_taken_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match=r"tuner 'lora' \(swift-plugin-lora"):
        write_plugin("tuner", "lora", tmp_path)


def test_a_folder_that_is_there_is_refused(tmp_path: Path) -> None:
    place = write_plugin("tuner", "mine", tmp_path)
    (place / "README.md").write_text("my own words")
    with pytest.raises(SwiftError, match="is there already"):
        write_plugin("reward", "mine", tmp_path)
    assert (place / "README.md").read_text() == "my own words"


def test_an_unknown_kind_is_named(tmp_path: Path) -> None:
    with pytest.raises(SwiftError, match="Did you mean 'tuner'"):
        write_plugin("tunner", "mine", tmp_path)
