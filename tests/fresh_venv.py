"""Fresh virtual environments for tests: they see this interpreter's heavy libraries, and download nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).parent.parent
SITE = Path(sysconfig.get_path("purelib"))
OURS = re.compile(r"(__editable__\.|_)?swift_?(core|plugin|templates|testing)", re.IGNORECASE)
"""Names in site-packages that belong to this project's own distributions."""


class Venv:
    """A virtual environment in `folder`. with_ours: whether it sees the installed swift-core and plugins."""

    def __init__(self, folder: Path, with_ours: bool):
        self.folder = folder
        uv("venv", "--quiet", "--python", sys.executable, str(folder))
        own = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
        if with_ours:
            line = f"import site; site.addsitedir({str(SITE)!r})"  # runs the editable installs' .pth files too
        else:
            line = str(_borrowed(folder / "borrowed"))
        (own / "_borrowed.pth").write_text(line + "\n")

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    def run(self, *words: str | Path, cwd: Path | None = None, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, or `python WORDS` where the first word is an option."""
        first = str(words[0])
        command = [self.python, *words] if first.startswith("-") else [self.folder / "bin" / first, *words[1:]]
        return run([str(w) for w in command], cwd=cwd, check=check, path=self.folder / "bin")


def _borrowed(folder: Path) -> Path:
    """Links to everything in site-packages that is not ours. A plain path: its .pth files are not run."""
    folder.mkdir()
    for item in SITE.iterdir():
        if not OURS.match(item.name) and item.suffix != ".pth":
            (folder / item.name).symlink_to(item)
    return folder


def uv(*words: str) -> subprocess.CompletedProcess[str]:
    """Run uv, which stands beside this interpreter or on the path."""
    beside = Path(sys.executable).with_name("uv")
    return run([str(beside) if beside.exists() else str(shutil.which("uv")), *words])


def run(
    command: list[str], cwd: Path | None = None, check: bool = True, path: Path | None = None, seconds: float = 300
) -> subprocess.CompletedProcess[str]:
    """A finished process, text captured; AssertionError with its output where it fails and `check`."""
    before = (
        {}
        if path is None
        else {"PATH": os.pathsep.join([str(path), os.environ.get("PATH", ""), str(Path(sys.executable).parent)])}
    )
    done = subprocess.run(
        command, cwd=cwd, env={**os.environ, **before}, capture_output=True, text=True, check=False, timeout=seconds
    )
    assert done.returncode == 0 or not check, f"{' '.join(command)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done
