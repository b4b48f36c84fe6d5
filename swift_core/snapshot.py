"""What is installed, remembered between runs: reading all package metadata and cards anew costs half a second.

The file lies in the user's cache folder. It carries the time stamps of everything that it was made from; any
that differs makes it worthless, and it is made again. Without a writable cache folder nothing is remembered.
"""

from __future__ import annotations

import json
import os
import sys
import time
import zlib
from typing import Any

from swift_core.version import __version__

SETTLED = 2.0
"""Seconds that a file must be old before its time stamp is trusted: two changes may share one stamp."""


def read() -> dict[str, Any]:
    """What was remembered; {} where it is not there or out of date."""
    try:
        with open(_file(), encoding="utf-8") as stream:
            found: dict[str, Any] = json.load(stream)
    except (OSError, ValueError):
        return {}
    fresh = found.get("stamps") == _stamps() and all(_stamp(f) == t for f, t in found.get("files", {}).items())
    return found if fresh else {}


def write(content: dict[str, Any], files: list[str]) -> None:
    """Remember `content`, which was made from the path's packages and from `files`."""
    stamps, times = _stamps(), {f: _stamp(f) for f in files}
    newest = max([s for s in (*(s for _, s in stamps), *times.values()) if isinstance(s, int)], default=0)
    if time.time_ns() - newest < SETTLED * 1e9:
        return
    place = _file()
    try:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(f"{place}.{os.getpid()}", "w", encoding="utf-8") as stream:
            json.dump({**content, "stamps": stamps, "files": times}, stream, ensure_ascii=False)
        os.replace(stream.name, place)
    except OSError:
        return


def cache_folder() -> str:
    """Where swift-core keeps what it can make again."""
    return os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "swift-core")


def _file() -> str:
    mark = zlib.crc32(f"{sys.prefix} {sys.version} {__version__}".encode())
    return os.path.join(cache_folder(), f"installed-{mark:08x}.json")


def _stamps() -> list[list[Any]]:
    """Every folder of the path with its time stamp. In the script's own folder files come and go, and nearly
    always it holds no packages: it counts only if it does, and then by their names."""
    here = {"", os.getcwd(), sys.path[0]}
    stamps: list[list[Any]] = [[f, _packages(f) if f in here else _stamp(f)] for f in sys.path]
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
