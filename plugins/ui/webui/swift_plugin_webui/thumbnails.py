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

ADDRESSES = ("http://", "https://", "data:")


def media_of(row: Row, places: Places) -> list[dict[str, str]]:
    """Of each medium its sort, its name, `picture` (a data URL) where it can be shown, `fault` where it cannot."""
    return [_medium(sort, item, places) for sort, items in row.media.items() for item in items]


def _medium(sort: str, item: Any, places: Places) -> dict[str, str]:
    path = item if isinstance(item, str) else item.get("path") if isinstance(item, dict) else None
    told = {"sort": sort, "name": str(path or "")[:200]}
    data = item.get("bytes") if isinstance(item, dict) else item
    if isinstance(path, str) and not isinstance(data, bytes):
        if path.startswith(ADDRESSES):
            return told | {"fault": "is fetched when it is trained"}
        if not places.holds(path):
            return told | {"fault": "outside the folders that this page may read"}
        if not Path(path).is_file():
            return told | {"fault": "not found"}
        data = path
    return told | _picture(data) if sort == "image" else told


def _picture(data: Any) -> dict[str, str]:
    from PIL import Image

    try:
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
