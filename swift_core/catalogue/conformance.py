"""Recorded results of the conformance levels."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("conformance.json")


@functools.cache
def recorded() -> dict[str, dict[str, Any]]:
    """Family name → `{"level", "reason", "date", "versions", "figures"}`, as the last conformance run wrote it.

    With `weights`, where a published checkpoint was seen: `{"checkpoint", "package", "date", "versions", "figures"}`.
    """
    return json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {}
