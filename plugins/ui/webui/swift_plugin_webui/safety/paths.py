"""The folders that the page may read, list, write and delete in; everything else is refused."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core import SwiftError

PREFIX = re.compile(r"^[\w.-]+(=|::)")
"""`name=` of an adapter or `hub::` of a data set, behind which a path may stand."""

COUNT = re.compile(r"#\d{1,15}$")
"""`#500` behind a data set."""


class Places:
    """Folders that are allowed, with all below them. A link that leads out of them is outside."""

    def __init__(self, folders: list[str | Path]):
        self.folders = list(dict.fromkeys(Path(folder).expanduser().resolve() for folder in folders))

    def holds(self, path: str | Path) -> bool:
        """Whether a path, its links followed, is in an allowed folder."""
        found = Path(path).expanduser().resolve()
        return any(found.is_relative_to(folder) for folder in self.folders)

    def checked(self, path: str | Path) -> Path:
        """The path, its links followed. Raises SwiftError where it is outside."""
        try:
            inside = self.holds(path)
        except (OSError, ValueError, RuntimeError):
            raise SwiftError(f"{str(path)[:200]!r} is not the name of a file.") from None
        if not inside:
            raise SwiftError(
                f"{str(path)[:200]} is outside the folders that this page may touch: "
                f"{', '.join(map(str, self.folders))}. Start it with --allow FOLDER for more."
            )
        return Path(path).expanduser().resolve()

    def check_values(self, values: dict[str, Any]) -> None:
        """Raises SwiftError where a value names a place outside; see `paths_in`."""
        for text in texts_in(values):
            for path in paths_in(text):
                self.checked(path)


def texts_in(value: Any) -> Iterator[str]:
    """Every text in a value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts_in(key)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)


def paths_in(text: str) -> list[str]:
    """What a value may mean as a path: itself, and what stands behind `name=` or `hub::`.

    A text counts as a path where it is absolute, begins with `~`, climbs by `..`, or names something that is there
    (which may be a link to elsewhere). Texts of several lines are none.
    """
    if "\n" in text or len(text) > 4096 or "\x00" in text:
        return []
    words = {text, COUNT.sub("", text)}
    words |= {PREFIX.sub("", word) for word in words}
    return sorted(word for word in words if word and _is_path(word))


def _is_path(word: str) -> bool:
    if word.startswith(("/", "~", "\\")) or re.match(r"[A-Za-z]:[\\/]", word):
        return True
    return ".." in re.split(r"[/\\]", word) or os.path.lexists(word)
