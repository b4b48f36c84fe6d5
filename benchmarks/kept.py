"""Figures of a long benchmark, kept line by line, so that the command begun again goes on with what is left."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class Kept:
    """What was measured under one set of settings, in a JSON file.

    Ends the program where the file is of other settings: their figures would stand in one table.
    """

    def __init__(self, file: Path, settings: dict[str, Any]):
        self.file, self.settings = file, json.loads(json.dumps(settings))
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if found and found["settings"] != self.settings:
            sys.exit(f"{file} is of other settings: {found['settings']}. Delete it, or choose another folder.")
        self.lines: dict[str, Any] = found.get("lines", {})

    def once(self, key: str, measure: Callable[[], Any]) -> Any:
        """The figures of a line: those that are there, else measured now; one that failed is tried again."""
        if self.lines.get(key, {"error": "none yet"}).get("error"):
            print(f"{key} …", file=sys.stderr, flush=True)
            self.lines[key] = json.loads(json.dumps(measure()))
            whole = {"settings": self.settings, "lines": self.lines}
            self.file.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        return self.lines[key]
