"""Media as rows name them: paths beside the data file or under --media_root, addresses, bytes and arrays."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlparse

from swift_core.contract.errors import SwiftError
from swift_core.data.values import BROKEN, loaded, shown

REMOTE = ("data:", "http://", "https://")
KEYS = ("bytes", "path", "url", "image_url", "base64", "array")
"""Under which keys an object holds its medium, in order of preference."""


def media_of(value: Any, where: str, folder: str | None, root: str | None) -> list[Any]:
    """The media of a column: one or a list of them, also as JSON text.

    folder: of the data file. root: --media_root. A path that is not absolute is looked for under the root; without
    one beside the data file, and then where the command runs.
    """
    if isinstance(value, str) and value.startswith("["):
        with suppress(SwiftError):  # a file may be called so
            value = loaded(value, where)
    values = value if isinstance(value, list) else [value]
    return [medium_of(v, f"{where}, medium {number}", folder, root) for number, v in enumerate(values, 1)]


def medium_of(value: Any, where: str, folder: str | None, root: str | None) -> Any:
    """One medium: a path, bytes, an array, or a list of pictures (the frames of a video).

    Raises SwiftError, which begins with `where`, where nothing of these stands.
    """
    if isinstance(value, dict):
        value = _from_object(value, where)
    if isinstance(value, str):
        return _place(value, where, folder, root)
    if isinstance(value, list):
        if value and all(isinstance(v, str | dict) for v in value):
            return [medium_of(v, where, folder, root) for v in value]
        return value
    if value is None or isinstance(value, bool | int | float) or (isinstance(value, bytes) and not value):
        raise SwiftError(f"{where}: a path, an address or bytes must stand there, found {shown(value)}.")
    return value


def _from_object(value: dict[str, Any], where: str) -> Any:
    """Hugging Face's `{"bytes", "path"}`, `{"array", "sampling_rate"}`, and `{"url"}`."""
    medium = next((value[k] for k in KEYS if value.get(k) is not None), None)
    if medium is None:
        raise SwiftError(f"{where}: an object holds its medium under {', '.join(KEYS)}, found {shown(value)}.")
    if value.get("bytes") is medium and isinstance(medium, str):
        return _decoded(medium, where)
    if value.get("base64") is medium:
        return f"data:;base64,{medium}"
    return value if value.get("array") is medium and value.get("sampling_rate") else medium


def _decoded(text: str, where: str) -> bytes:
    import base64

    try:
        return base64.b64decode(text, validate=True)
    except BROKEN:
        raise SwiftError(f"{where}: bytes in a text file are written in base64, found {shown(text)}.") from None


def _place(text: str, where: str, folder: str | None, root: str | None) -> str:
    if not text:
        raise SwiftError(f"{where}: the path is empty.")
    if text.startswith(REMOTE):
        return text
    if text.startswith("file://"):
        return unquote(urlparse(text).path)
    if root:
        return os.path.join(root, text)
    beside = os.path.join(folder, text) if folder else text
    return beside if os.path.lexists(beside) else text
