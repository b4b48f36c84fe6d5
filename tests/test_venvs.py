"""Isolated environments: real ones of a tiny package, two at once, kills at any moment, removal in between."""

from __future__ import annotations

import os
import pty
import runpy
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_venv import OURS, ROOT, SITE

from swift_core.catalogue.venv_lock import held_alone
from swift_core.catalogue.venv_remains import age_of, clean, remains_in, remove, size_of
from swift_core.cli.work import given_by, run_job
from swift_core.contract.components import Requirements
from swift_core.contract.errors import SwiftError

PROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]

[project]
name = "tiny-said"
version = "1.0"
"""

BACKEND = '''
"""Builds the package when the file `go` is there, and tells in `builds` which processes build it."""
import os, pathlib, time, zipfile

HERE = pathlib.Path(__file__).parent
NAME = "tiny_said-1.0"
FILES = {
    "tiny_said.py": "def main():\\n    import sys\\n    print('said in', sys.prefix)\\n",
    f"{NAME}.dist-info/METADATA": "Metadata-Version: 2.1\\nName: tiny-said\\nVersion: 1.0\\n",
    f"{NAME}.dist-info/WHEEL": "Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n",
    f"{NAME}.dist-info/entry_points.txt": "[console_scripts]\\ntiny-said = tiny_said:main\\n",
    f"{NAME}.dist-info/RECORD": "",
}

def build_wheel(folder, *_, **__):
    with open(HERE / "builds", "a") as stream:
        print(os.getppid(), os.getpid(), file=stream)
    while not (HERE / "go").exists():
        time.sleep(0.01)
    with zipfile.ZipFile(pathlib.Path(folder, f"{NAME}-py3-none-any.whl"), "w") as wheel:
        for name, text in FILES.items():
            wheel.writestr(name, text)
    return f"{NAME}-py3-none-any.whl"
'''

PLUGIN = """
from swift_core.contract.components import Requirements

class Tiny:
    '''Measures in an environment of its own.'''
    swift_api = 1
    environment = Requirements(({requirement!r},), size="about 30 KB")
"""

DEMANDS = "Metadata-Version: 2.1\nName: needy\nVersion: 1.0\nRequires-Dist: not-to-be-had\n"

CREATE = "from swift_core.catalogue.venvs import find; print(find('tiny').create())"
REMOVE = "from swift_core.catalogue.venvs import find; print(find('tiny').remove())"
USE = """
import sys
from swift_core.catalogue.venvs import find
print(find('tiny').create(), flush=True)
sys.stdin.read()
"""


class Process:
    """A running program whose output is read while it runs."""

    def __init__(self, words: list[str], log: Path, **more: object):
        self.log = log
        with log.open("wb") as stream:
            settings = {"stdin": subprocess.DEVNULL, "stdout": stream, "stderr": stream, **more}
            self.process = subprocess.Popen(words, **settings)  # type: ignore[call-overload]

    @property
    def said(self) -> str:
        """What it has printed up to now."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def end(self, code: int = 0) -> str:
        """All that it printed, when it has ended with the exit code `code`."""
        assert self.process.wait(60) == code, self.said
        return self.said

    def kill(self) -> None:
        """End it as the system's memory killer does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Place:
    """A bare kernel with one component whose environment holds the tiny package; nothing comes from the network."""

    def __init__(self, folder: Path, packages: Path):
        self.folder, self.source, self.home = folder, folder / "source", folder / "envs"
        self.variables = {
            **{k: v for k, v in os.environ.items() if k not in ("SWIFT_YES", "PYTHONDONTWRITEBYTECODE")},
            **{"SWIFT_ENVS": str(self.home), "UV_OFFLINE": "1", "UV_CACHE_DIR": str(packages.with_name("uv"))},
            "PYTHONPATH": os.pathsep.join(map(str, (ROOT, folder, packages))),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        write(self.source / "pyproject.toml", PROJECT)
        write(self.source / "backend.py", BACKEND)
        write(folder / "tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
        write(folder / "tiny-1.0.dist-info/entry_points.txt", "[swift_core.evaluators]\ntiny = tiny:Tiny\n")
        self.require(str(self.source))
        self.count = 0

    def require(self, requirement: str) -> None:
        """Declare what the environment holds."""
        write(self.folder / "tiny.py", PLUGIN.format(requirement=requirement))

    def python(self, *words: str, **more: object) -> Process:
        """A started interpreter that sees this place alone. -S: nothing of this one's site-packages is seen."""
        return self.process([sys.executable, "-S", *words], **more)

    def process(self, words: list[str], **more: object) -> Process:
        """A started program."""
        self.count += 1
        return Process(words, self.folder / f"{self.count}.log", env=self.variables, **more)

    def swift(self, *words: str, **more: object) -> Process:
        """`swift env WORDS`, started."""
        return self.python("-m", "swift_core", "env", *words, **more)

    def create(self) -> Process:
        """What a job does that needs the environment, started; quicker than the command."""
        return self.python("-c", CREATE)

    def go(self) -> None:
        """Let builds come to their end."""
        (self.source / "go").touch()

    def built(self) -> None:
        """Declare the built package instead of its source."""
        self.go()
        module = runpy.run_path(str(self.source / "backend.py"))
        self.require(str(self.folder / module["build_wheel"](self.folder)))

    def builds(self) -> list[list[int]]:
        """[uv, build process] of each build that was begun."""
        file = self.source / "builds"
        return [[int(p) for p in line.split()] for line in file.read_text().splitlines()] if file.exists() else []

    def building(self) -> Process:
        """A process that makes the environment, in the middle of its build."""
        before = len(self.builds())
        process = self.create()
        until(lambda: len(self.builds()) > before, process)
        return process

    def folders(self) -> list[str]:
        """What lies among the environments, by the ends of the names: an empty one is a whole environment."""
        return sorted(f.name[len("tiny-1.0-01234567") :] for f in self.home.iterdir() if f.is_dir())

    @property
    def unmade(self) -> Path:
        """Where the environment that is being made will be."""
        (found,) = self.home.glob("*.making")
        return found.with_name(found.name.removesuffix(".making"))

    @property
    def made(self) -> Path:
        """The whole environment."""
        (found,) = [f for f in self.home.iterdir() if f.is_dir() and (f / ".ready").exists()]
        return found

    def works(self) -> None:
        """The environment's own script runs with its interpreter, where it is now."""
        done = subprocess.run([self.made / "bin/tiny-said"], capture_output=True, text=True, check=True)
        assert done.stdout == f"said in {self.made}\n" and not self.made.name.endswith("ing")


def write(file: Path, text: str) -> None:
    """A text file, and the folders above it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def until(true: Callable[[], object], process: Process) -> None:
    """Wait until something is so."""
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end, process.said
        time.sleep(0.002)


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Everything installed but this project's own, as far as it is imported; uv's cache lies beside it."""
    folder = tmp_path_factory.mktemp("packages")
    for item in SITE.iterdir():
        if not OURS.match(item.name) and item.suffix not in (".pth", ".dist-info"):
            (folder / item.name).symlink_to(item)
    return folder


@pytest.fixture
def place(tmp_path: Path, packages: Path) -> Place:
    return Place(tmp_path, packages)


def test_made_beside_and_renamed(place: Place) -> None:
    process = place.building()
    assert place.folders() == [".making"]
    assert f"not there yet, process {process.process.pid} makes it" in place.swift("list").end()
    place.go()
    said = process.end()
    assert "tiny needs an isolated environment" in said and "about 30 KB" in said and "tiny: Building" in said
    assert place.folders() == [""] and said.splitlines()[-1] == str(place.made / "bin/python")
    place.works()
    assert place.swift("create", "tiny").end() == f"{place.made / 'bin/python'}\n"
    assert f"[{place.made}]" in place.swift("list").end()


def test_the_second_waits_for_the_first(place: Place) -> None:
    first = place.building()
    second = place.create()
    until(
        lambda: f"Waiting for the environment of 'tiny': process {first.process.pid} makes it." in second.said, second
    )
    place.go()
    first.end()
    assert "Building" not in second.end() and len(place.builds()) == 1
    place.works()


def test_what_is_made_or_used_is_not_removed(place: Place) -> None:
    maker = place.building()
    assert f"process {maker.process.pid} makes it. Try again" in place.swift("remove", "tiny").end(2)
    assert clean(place.home) == []
    place.go()
    maker.end()
    place.works()
    user = place.python("-c", USE, stdin=subprocess.PIPE)
    until(lambda: "bin/python" in user.said, user)
    with pytest.raises(SwiftError, match=f"process {user.process.pid} uses it"):
        remove(place.made)
    place.works()
    user.kill()
    assert place.swift("remove", "tiny").end() == "removed tiny\n"
    assert place.folders() == []
    assert not remove(place.home / "tiny-1.0-01234567")


def test_a_killed_maker_whose_installer_goes_on(place: Place) -> None:
    """The installer still writes: the next one waits for it, and does not trust what it leaves."""
    killed = place.building()
    killed.kill()
    left = f"a process that {killed.process.pid} started still works on it"
    assert left in held_alone(place.unmade) and clean(place.home) == []
    second = place.create()
    until(lambda: left in second.said, second)
    place.go()
    said = second.end()
    assert said.count("deleting what an interrupted making or removal left: tiny-1.0-") == 1
    assert place.folders() == [""]
    place.works()


def test_a_killed_maker_and_installer_leave_remains_that_are_seen(place: Place) -> None:
    killed = place.building()
    killed.kill()
    for process in place.builds()[-1]:
        os.kill(process, signal.SIGKILL)
    until(lambda: remains_in(place.home), killed)
    (line,) = place.swift("list").end().splitlines()[1:]
    assert line.startswith("remains: tiny-1.0-") and " KB, " in line and "[swift env clean removes it]" in line
    (line,) = place.swift("clean").end().splitlines()
    assert line.startswith("removed the remains tiny-1.0-") and " KB, " in line
    assert place.folders() == [] and clean(place.home) == []


def test_an_interrupted_maker_leaves_nothing(place: Place) -> None:
    process = place.building()
    process.process.send_signal(signal.SIGINT)
    process.process.wait(60)
    assert place.folders() == []
    for pid in place.builds()[-1]:
        until(lambda pid=pid: not Path("/proc", str(pid)).exists() or zombie(pid), process)


def zombie(pid: int) -> bool:
    """Whether a process has ended and nobody has asked for its exit code."""
    return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] == "Z"


MOMENTS: dict[str, Callable[[Place], object]] = {
    "locked": lambda place: list(place.home.glob("*.lock")),
    "begun": lambda place: list(place.home.glob("*.making")),
    "interpreter": lambda place: list(place.home.glob("*.making/bin/python")),
    "files": lambda place: list(place.home.glob("*.making/lib/*/site-packages/tiny_said.py")),
    "compiled": lambda place: list(place.home.glob("*.making/lib/*/site-packages/__pycache__/tiny*")),
    "marked": lambda place: list(place.home.glob("*/.ready")),
}


def test_a_kill_at_any_moment_leaves_nothing_that_is_taken_for_whole(place: Place) -> None:
    place.built()
    for reached in MOMENTS.values():
        process = place.create()
        until(lambda reached=reached, process=process: reached(place) or process.process.poll() is not None, process)
        process.kill()
        if "" in place.folders():
            place.works()
            assert remove(place.made)
    place.create().end()
    assert place.folders() == [""]
    place.works()


def test_a_killed_removal_leaves_remains(place: Place) -> None:
    place.built()
    place.create().end()
    made = place.made
    for number in range(800):
        (made / f"file{number}").touch()
    process = place.python("-c", REMOVE)
    until(lambda: place.folders() == [".removing"], process)
    process.kill()
    assert place.folders() == [".removing"] and len(remains_in(place.home)) == 1
    assert "deleting what an interrupted making or removal left" in place.create().end()
    assert place.folders() == [""]
    place.works()


def test_folders_of_others_are_left_alone(place: Place) -> None:
    """A half environment of an earlier version is remains; a training run whose name ends alike is not."""
    (place.home / "llama-sft-20240101").mkdir(parents=True)
    write(place.home / "old-0.1-0123abcd/pyvenv.cfg", "home = /usr/bin\n")
    write(place.home / "whole-0.1-0123abcd/pyvenv.cfg", "home = /usr/bin\n")
    write(place.home / "whole-0.1-0123abcd/bin/python", "")
    write(place.home / "whole-0.1-0123abcd/.ready", "")
    listed = place.swift("list").end()
    assert "remains: old-0.1-0123abcd, 16 bytes, " in listed and "llama" not in listed
    assert "declared by nothing installed here: whole-0.1-0123abcd" in listed
    assert len(clean(place.home)) == 1
    assert sorted(f.name for f in place.home.iterdir() if f.is_dir()) == ["llama-sft-20240101", "whole-0.1-0123abcd"]
    place.swift("remove", "whole-0.1-0123abcd").end()
    assert "No component declares" in place.swift("remove", "llama-sft-20240101").end(2)
    assert [f.name for f in place.home.iterdir() if f.is_dir()] == ["llama-sft-20240101"]


def test_a_failure_is_told_in_one_line_and_leaves_a_log(place: Place) -> None:
    place.require("no-such-package==1.0")
    said = place.swift("create", "tiny").end(2).splitlines()
    (log,) = place.home.glob("*.log")
    assert said[-1].startswith("swift: The environment of 'tiny' could not be made: ") and len(said) == 2
    assert "network was disabled" in said[-1] and said[-1].endswith(f"[log: {log}]")
    assert "no-such-package" in log.read_text() and place.folders() == []


MOUNTS = shutil.which("unshare") and subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
FULL = 'mount -t tmpfs -o size=40k tmpfs "$SWIFT_ENVS" && "$@"; code=$?; ls "$SWIFT_ENVS"; exit $code'
"""Runs a command where the folder of the environments is a disk of 40 KB, and lists what lies there then."""


@pytest.mark.skipif(not MOUNTS, reason="no mounts of one's own here")
def test_a_full_disk_leaves_no_remains(place: Place) -> None:
    place.built()
    place.home.mkdir()
    place.variables["UV_LINK_MODE"] = "copy"
    command = [sys.executable, "-S", "-m", "swift_core", "env", "create", "tiny"]
    process = place.process(["unshare", "-rm", "sh", "-c", FULL, "sh", *command])
    said = process.end(2).splitlines()
    (line,) = (at for at in said if at.startswith("swift: "))
    assert "could not be made: error: " in line and "No space left on device" in line
    assert [Path(left).suffix for left in said[said.index(line) + 1 :]] == [".lock", ".log"]


@pytest.mark.parametrize(
    ("words", "typed", "code"), [((), "n\n", 2), ((), "\n", 2), ((), "y\n", 0), (("--yes",), "", 0)]
)
def test_a_terminal_is_asked(place: Place, words: tuple[str, ...], typed: str, code: int) -> None:
    place.built()
    ours, theirs = pty.openpty()
    process = place.swift("create", "tiny", *words, stdin=theirs, stderr=theirs)
    os.close(theirs)
    os.write(ours, typed.encode())
    said = ""
    while process.process.poll() is None or "tiny" not in said:
        try:
            said += os.read(ours, 10_000).decode()
        except OSError:
            break  # the other end is closed
    process.end(code)
    os.close(ours)
    assert ("[y/N]" in said) == (not words) and ("you said no" in said) == bool(code)
    assert (place.folders() == [""]) == (code == 0)


def test_the_variable_answers(place: Place) -> None:
    place.variables["SWIFT_YES"] = "0"
    assert "you said no" in place.create().end(1)
    place.variables["SWIFT_YES"] = "maybe"
    assert "SWIFT_YES is 1 (yes) or 0 (no), not 'maybe'" in place.create().end(1)
    assert place.folders() == []


def test_jobs_take_the_answer_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWIFT_YES", "")
    assert [g.key for g in given_by(["--yes", "--model", "m"])] == ["model"]
    with pytest.raises(SwiftError, match="--yes takes no value"):
        run_job("infer", "--yes", "true")
    assert os.environ["SWIFT_YES"] == ""
    with pytest.raises(SwiftError, match="neither a local folder"):
        run_job("infer", "--yes", "--model", "m")
    assert os.environ["SWIFT_YES"] == "1"


def test_sizes_and_ages_are_read_by_people(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 3_400_000)
    os.utime(tmp_path, (time.time() - 7300, time.time() - 7300))
    assert (size_of(tmp_path), age_of(tmp_path)) == ("3.4 MB", "2 hours")


def test_the_size_does_not_rename_the_folder() -> None:
    assert repr(Requirements(("a",), size="about 3 GB")) == repr(Requirements(("a",)))


def test_overrides_replace_what_packages_demand(place: Place) -> None:
    wheel = place.folder / "needy-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("needy.py", "")
        file.writestr("needy-1.0.dist-info/METADATA", DEMANDS)
        file.writestr("needy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr("needy-1.0.dist-info/RECORD", "")
    place.require(str(wheel))
    assert "not-to-be-had" in place.create().end(1)
    plugin = place.folder / "tiny.py"
    instead = "not-to-be-had; sys_platform == 'never'"
    plugin.write_text(plugin.read_text().replace("size=", f'overrides=("{instead}",), size='))
    place.create().end()
    assert (place.made / "overrides.txt").read_text() == f"{instead}\n"
    first = place.made.name
    plugin.write_text(plugin.read_text().replace("'never'", "'nowhere'"))
    said = place.python("-c", "from swift_core.catalogue.venvs import find; print(find('tiny').folder.name)").end()
    assert said.strip() != first  # other overrides are another environment
