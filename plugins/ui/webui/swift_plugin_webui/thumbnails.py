"""Pictures of rows, small enough for a page; videos and sounds by name. Nothing outside the chosen folders is read."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

from swift_core.contract.row import Row
from swift_plugin_webui.safety.paths import Places

SIDE = 160
"""Pixels of the longer side."""

ADDRESSES = ("http://", "https://")
WRITTEN_OUT = "data:"


def media_of(row: Row, places: Places) -> list[dict[str, str]]:
    """Of each medium its sort, its name, `picture` (a data URL) where it can be shown, `fault` where it cannot."""
    return [_medium(sort, item, places) for sort, items in row.media.items() for item in items]


def _medium(sort: str, item: Any, places: Places) -> dict[str, str]:
    data, path = (item.get("bytes"), item.get("path")) if isinstance(item, dict) else (item, item)
    told = {"sort": sort, "name": path[:200] if isinstance(path, str) and not path.startswith(WRITTEN_OUT) else ""}
    if isinstance(path, str) and not isinstance(data, bytes):
        data = path
        fault = _fault(path, places)
        if fault:
            return told | {"fault": fault}
    return told | _picture(data) if sort == "image" else told


def _fault(path: str, places: Places) -> str:
    """Why what a path names cannot be shown; empty where it can."""
    if path.startswith(WRITTEN_OUT):
        return ""
    if path.startswith(ADDRESSES):
        return "is fetched when it is trained"
    try:
        if not places.holds(path):
            return "outside the folders that this page may read"
    except (OSError, ValueError, RuntimeError):
        return "is not the name of a file"
    return "" if Path(path).is_file() else "not found"


def _picture(data: Any) -> dict[str, str]:
    from PIL import Image

    try:
        if isinstance(data, str) and data.startswith(WRITTEN_OUT):
            data = base64.b64decode(data.partition(",")[2])
        opened = (
            data if isinstance(data, Image.Image) else Image.open(io.BytesIO(data) if isinstance(data, bytes) else data)
        )
        small = opened.convert("RGB")
    except (OSError, ValueError, TypeError, AttributeError, Image.DecompressionBombError) as error:
        return {"fault": f"no picture that can be opened ({type(error).__name__})"}
    small.thumbnail((SIDE, SIDE))
    written = io.BytesIO()
    small.save(written, "JPEG", quality=80)
    return {"picture": f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"}
