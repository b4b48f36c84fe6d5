"""What was found out about the installation, remembered between runs: finding it out anew costs half a second.

Each thing remembered is a file in the user's cache folder. Its first line carries the time stamps of everything that
it was made from; any that differs makes it worthless, and it is made again. Without a writable cache folder nothing is
remembered. This module is on the way of the quickest commands: it imports little.
"""

from __future__ import annotations

import json
import os
import sys
import zlib

from swift_core.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SETTLED = 2.0
"""Seconds that a file must be old before its time stamp is trusted: two changes may share one stamp."""


def read(name: str) -> tuple[str, list[str]]:
    """The text remembered as `name`, and the files that it was made from; ("", []) where there is none or it is old."""
    try:
        with open(_file(name), encoding="utf-8") as stream:
            head = json.loads(stream.readline())
            fresh = head["stamps"] == _stamps() and all(_stamp(f) == t for f, t in head["files"].items())
            text = stream.read() if fresh else ""
            return (text, list(head["files"])) if text and head["sum"] == zlib.crc32(text.encode()) else ("", [])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "", []  # not there, or not a file that this module wrote


def write(name: str, text: str, files: Iterable[str], begun: int) -> None:
    """Remember `text`, which was made from the path's packages and from `files`, all read after `begun` (nanoseconds
    of the epoch): what changed shortly before that, or since, may have been read in its older state."""
    try:
        stamps, times = _stamps(), {f: _stamp(f) for f in files}
        newest = max([s for s in (*(s for _, s in stamps), *times.values()) if isinstance(s, int)], default=0)
        place = _file(name)
        if begun - newest < SETTLED * 1e9 or not os.path.isabs(place):
            return
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(f"{place}.{os.getpid()}", "w", encoding="utf-8") as stream:
            stream.write(json.dumps({"stamps": stamps, "files": times, "sum": zlib.crc32(text.encode())}) + "\n" + text)
        os.replace(stream.name, place)
    except OSError:
        return


def cache_folder() -> str:
    """Where swift-core keeps what it can make again; a relative path where the user has no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return os.path.join(base if os.path.isabs(base) else os.path.expanduser("~/.cache"), "swift-core")


def _file(name: str) -> str:
    mark = zlib.crc32(f"{sys.prefix} {sys.version} {__version__}".encode())
    return os.path.join(cache_folder(), f"{name}-{mark:08x}")


def _stamps() -> list[list[object]]:
    """Every folder of the path with its time stamp. In the script's own folder files come and go, and nearly
    always it holds no packages: it counts only if it does, and then by their names."""
    here = {"", os.getcwd(), sys.path[0]}
    stamps: list[list[object]] = [[f, _packages(f) if f in here else _stamp(f)] for f in sys.path]
    return [pair for pair in stamps if pair[1]]


def _stamp(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _packages(folder: str) -> list[str]:
    try:
        return sorted(n for n in os.listdir(folder or ".") if n.endswith((".dist-info", ".egg-info")))
    except OSError:
        return []
