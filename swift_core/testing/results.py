"""Recorded results of the conformance ladder."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def recorded() -> dict[str, dict[str, Any]]:
    """Family name → `{"rung", "date", "versions", "reason"}`, as the last conformance run wrote it."""
    file = resources.files("swift_core").joinpath("testing", "results.json")
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
