"""What the quickest commands remember: it is what a new look would find, or it is not used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import packaging
import pluggy
import pytest
from fresh_venv import ROOT

from swift_core.catalogue.entries import Catalogue
from swift_core.cli.app import application
from swift_core.cli.listing import COMMANDS, commands
from swift_core.cli.printing import root_help
from swift_core.job.specs import JOBS

CARD = """
from swift_core.contract.cards import Family

card = Family(name="{name}", summary="{summary}", checkpoints={{"chatml": "{name}/{name}-7B"}})
"""


class Place:
    """An installation of its own: the kernel, what it needs here, and what is added, with a cache folder of its own."""

    def __init__(self, folder: Path):
        self.packages, self.cache, self.clock = folder / "packages", folder / "cache", 1_700_000_000
        self.packages.mkdir()
        for needed in (packaging, pluggy):
            (self.packages / needed.__name__).symlink_to(Path(str(needed.__file__)).parent)

    def add(self, name: str, summary: str = "A family.", source: str = "") -> None:
        """Install, or change in place, a distribution with one family."""
        write(self.packages / f"{name}.py", source or CARD.format(name=name, summary=summary))
        info = self.packages / f"{name}-1.0.dist-info"
        write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nSummary: Of {name}.\n")
        write(info / "entry_points.txt", f"[swift_core.models]\n{name} = {name}:card\n")
        self.settle()

    def remove(self, name: str) -> None:
        """Uninstall it."""
        for file in (self.packages / f"{name}-1.0.dist-info").iterdir():
            file.unlink()
        (self.packages / f"{name}-1.0.dist-info").rmdir()
        self.settle()

    def settle(self) -> None:
        """As if the last change had been made a while ago, yet after the one before it."""
        self.clock += 10
        for path in (*self.packages.glob("*.py"), self.packages):
            os.utime(path, (self.clock, self.clock))

    def start(self, *words: str) -> subprocess.Popen[str]:
        """`swift WORDS`, running. -S: nothing of this interpreter's site-packages is seen."""
        paths = os.pathsep.join([str(ROOT), str(self.packages)])
        settings = {"PYTHONPATH": paths, "XDG_CACHE_HOME": str(self.cache), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-S", "-m", "swift_core", *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings})

    def swift(self, *words: str) -> str:
        """What `swift WORDS` prints."""
        process = self.start(*words)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        return out

    def names(self) -> set[str]:
        """The families that it lists."""
        return {row["name"] for row in json.loads(self.swift("list", "models", "--json"))}

    def remembered(self) -> list[str]:
        """The files of its cache."""
        return sorted(p.name.partition("-")[0] for p in self.cache.glob("swift-core/*"))


def write(file: Path, text: str) -> None:
    """Write a file, and its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    found = Place(tmp_path)
    found.add("one", "The first.")
    return found


def test_what_is_remembered_is_what_a_new_look_finds(place: Place) -> None:
    asked = (["list"], ["list", "models", "--json"], ["show", "model", "one"], ["show", "model", "One/one-7b"], [])
    first = {tuple(words): place.swift(*words) for words in asked}
    assert place.remembered() == ["digest", "installed"]
    assert first == {tuple(words): place.swift(*words) for words in asked}
    for file in place.cache.glob("*/*"):
        file.unlink()
    assert first == {tuple(words): place.swift(*words) for words in asked}


def test_every_change_of_the_installation_shows_at_once(place: Place) -> None:
    assert place.names() == place.names() == {"one"}
    place.add("two")
    assert place.names() == place.names() == {"one", "two"}
    assert "name: two" in place.swift("show", "model", "two/two-7b")
    place.add("one", "Changed in place.")
    assert "Changed in place." in place.swift("show", "model", "one")
    place.remove("two")
    assert place.names() == place.names() == {"one"}


def test_a_broken_card_is_tried_again_each_time(place: Place) -> None:
    place.add("two", source="raise RuntimeError('half written')")
    assert "half written" in place.swift("list", "models")
    assert "digest" not in place.remembered()
    place.add("two")
    assert "half written" not in place.swift("list", "models")
    assert "digest" in place.remembered()


def test_a_change_that_may_share_its_time_stamp_is_not_remembered(place: Place) -> None:
    os.utime(place.packages)
    assert place.names() == {"one"}
    assert place.remembered() == []


@pytest.mark.parametrize("content", ["", "[]\n", "{}\n", '{"stamps": 1, "files": []}\nrest', "\x00\xff"])
def test_a_spoiled_cache_is_made_again(place: Place, content: str) -> None:
    said = place.swift("list")
    for file in place.cache.glob("*/*"):
        file.write_text(content)
    assert place.swift("list") == said


def test_without_a_place_for_the_cache_all_goes_on(place: Place) -> None:
    place.cache.write_text("a file where the folder should be")
    assert place.names() == place.names() == {"one"}
    assert place.cache.read_text() == "a file where the folder should be"


def test_many_may_fill_the_cache_at_once(place: Place) -> None:
    running = [place.start("list") for _ in range(4)]
    said = {process.communicate(timeout=60)[0] for process in running}
    assert said == {place.swift("list")}
    assert place.remembered() == ["digest", "installed"]


def test_the_root_help_says_what_typer_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    catalogue = Catalogue.installed()
    plugins = {e.name: e.summary for e in catalogue.of_kind("command")}
    said = dict(commands(catalogue))
    typers = {name: command.help for name, command in application("list").commands.items()}
    typers |= {name: application(name).commands[name].help for name in plugins}
    assert plugins
    assert {n: h for n, h in said.items() if n not in JOBS and n not in ("explain", "recipes")} == typers
    assert {n: h for n, h in said.items() if n in JOBS} == {n: spec.summary for n, spec in JOBS.items()}
    lines = [line.split(None, 1) for line in root_help(commands(catalogue)).splitlines() if line.startswith("  ")]
    assert all([name, text] in lines for name, text in said.items())
    assert set(COMMANDS) <= set(said)


def test_a_plugins_command_is_read_by_typer(capsys: pytest.CaptureFixture[str]) -> None:
    application("demo")(["demo", "--help"], standalone_mode=False)
    assert "--folder" in capsys.readouterr().out


def test_the_help_of_a_job_is_remembered_with_the_files_that_it_comes_from(tmp_path: Path) -> None:
    wide = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "COLUMNS": "100", "PYTHONPROFILEIMPORTTIME": "1"}

    def ask(columns: str = "100") -> tuple[str, str]:
        command = [sys.executable, "-m", "swift_core", "sft", "--help"]
        done = subprocess.run(command, capture_output=True, text=True, env={**wide, "COLUMNS": columns}, check=True)
        return done.stdout, done.stderr

    (first, loaded), (again, loaded_again), (narrow, _) = ask(), ask(), ask("60")
    assert first == again != narrow and "".join(first.split()) == "".join(narrow.split())
    assert "swift_plugin_runtime" in loaded and "swift_core.job.options" in loaded
    assert "swift_plugin" not in loaded_again and "swift_core.job" not in loaded_again
    (file,) = tmp_path.glob("swift-core/help-sft-100-*")
    named = json.loads(file.read_text().splitlines()[0])["files"]
    assert {"swift_core", "swift_plugin_runtime", "swift_plugin_lora"} <= {Path(f).parent.name for f in named}
