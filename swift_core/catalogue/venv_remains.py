"""What lies in the folder of the isolated environments besides whole ones in use: remains of interrupted work."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from swift_core.catalogue.venv_lock import Lock, held_alone, holder, lock_file
from swift_core.contract.errors import SwiftError

MAKING, REMOVING = ".making", ".removing"
"""What the names of environments end in that are not whole yet, or no more."""

OURS = re.compile(r"(?P<whole>.+-[0-9a-f]{8})(\.making|\.removing)?")
"""Folder names of environments; other folders of the same place are left alone."""


@dataclass(frozen=True)
class Found:
    """A folder that lies among the environments. whole: its path when it is, or was, a whole environment."""

    folder: Path
    whole: Path

    @property
    def broken(self) -> bool:
        """Whether it is no environment that can be used."""
        return self.folder != self.whole or not is_whole(self.folder)

    def __str__(self) -> str:
        """Its name, size and age."""
        return f"{self.folder.name}, {size_of(self.folder)}, {age_of(self.folder)} old"


def is_whole(folder: Path) -> bool:
    """Whether an environment was made to its end, and its interpreter is still there."""
    return (folder / ".ready").is_file() and (folder / "bin/python").exists()


def found_in(home: Path) -> Iterator[Found]:
    """All environments in `home`, whole or not, that nobody makes or removes right now."""
    for folder in sorted(home.iterdir()) if home.is_dir() else []:
        name = OURS.fullmatch(folder.name)
        if not name or not folder.is_dir():
            continue
        found = Found(folder, home / name["whole"])
        if (folder != found.whole or (folder / "pyvenv.cfg").is_file()) and not held_alone(found.whole):
            yield found


def remains_in(home: Path) -> list[Found]:
    """What interrupted work left in `home`."""
    return [found for found in found_in(home) if found.broken]


def clean(home: Path) -> list[str]:
    """Delete all remains in `home`; returns a line about each. What is locked in this very moment is left out."""
    lines = []
    for found in remains_in(home):
        with Lock(found.whole) as lock:
            if lock.take("removes it", alone=True) and found.folder.exists() and found.broken:
                lines.append(f"removed the remains {found}")
                delete(found.folder)
    return lines


def remains_of(folder: Path) -> list[Path]:
    """What interrupted work on the environment in `folder` left; its lock is held alone by the caller."""
    places = (folder, folder.with_name(folder.name + MAKING), folder.with_name(folder.name + REMOVING))
    return [place for place in places if place.is_dir() and not (place == folder and is_whole(folder))]


def delete(folder: Path) -> None:
    """Delete an environment or its remains: first its name, so that no half is taken for whole. SwiftError if not."""
    gone = folder
    try:
        if folder.suffix not in (MAKING, REMOVING):
            gone = folder.with_name(folder.name + REMOVING)
            shutil.rmtree(gone, ignore_errors=True)
            os.replace(folder, gone)
        shutil.rmtree(gone)
    except OSError as error:
        raise SwiftError(f"{gone} could not be deleted: {error.strerror or error}.") from None


def remove(folder: Path) -> bool:
    """Delete an environment, its remains and its log; False where there was nothing.

    Raises SwiftError where another process makes, uses or removes it. It does not wait for that: a server may use an
    environment for days.
    """
    with Lock(folder) as lock:
        if not any(_taken(lock) for _ in range(5)):
            raise SwiftError(
                f"{folder.name} is not removed, {holder(lock_file(folder))}. Try again when that has ended."
            )
        places = [*([folder] if folder.is_dir() else []), *remains_of(folder)]
        for place in dict.fromkeys(places):
            delete(place)
        folder.with_name(f"{folder.name}.log").unlink(missing_ok=True)
    return bool(places)


def _taken(lock: Lock) -> bool:
    """Whether it is taken now, or after the short time that another process needs to look at it."""
    if not lock.take("removes it", alone=True):
        time.sleep(0.1)
        return False
    return True


def size_of(folder: Path) -> str:
    """How much is in a folder, for instance `3.4 GB`. What vanishes while it is read counts nothing."""
    size = float(sum(_sizes(folder)))
    for unit in ("bytes", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def _sizes(folder: Path) -> Iterable[int]:
    """The bytes of each file below a folder, links not followed."""
    for place, _, files in os.walk(folder):
        for file in files:
            try:
                yield os.lstat(os.path.join(place, file)).st_size
            except OSError:
                continue


def age_of(folder: Path) -> str:
    """How long ago a folder was last changed, in its largest unit."""
    try:
        seconds = max(0.0, time.time() - folder.stat().st_mtime)
    except OSError:
        seconds = 0.0  # deleted this moment
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
