"""A request in the form of OpenAI's chat interface: media as content parts, tool calls with JSON text."""

from __future__ import annotations

import base64
import io
import json
import mimetypes
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_core.contract.engine import Request
from swift_core.contract.errors import SwiftError
from swift_core.data.calls import as_call

Json = dict[str, Any]
Media = dict[str, Iterator[Any]]

MEDIUM = re.compile(r"<(image|video|audio)>")
RAW_BYTES = {"image": "image/png", "video": "video/mp4", "audio": "audio/wav"}
"""MIME types claimed for bytes whose file is not known; readers look into the content."""


def write_messages(request: Request) -> list[Json]:
    """The conversation of a request, with its media in their places."""
    row = request.row
    media = {"image": iter(row.images), "video": iter(row.videos), "audio": iter(row.audios)}
    out: list[Json] = []
    waiting: list[str] = []  # ids of calls whose results are still to come, in their order
    for turn, message in enumerate(row.messages):
        made: Json = {"role": message["role"], "content": _content(message.get("content") or "", media)}
        if message.get("tool_calls"):
            made["tool_calls"] = [_call(c, f"call_{turn}_{n}") for n, c in enumerate(message["tool_calls"])]
            waiting = [c["id"] for c in made["tool_calls"]]
        if message["role"] == "tool":
            made["tool_call_id"] = waiting.pop(0) if waiting else f"call_{turn}"
        out.append(made)
    return out


def _call(call: Json, name: str) -> Json:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    return {"id": name, "type": "function", "function": {"name": call["name"], "arguments": arguments}}


def read_tool_calls(listed: list[Any] | None) -> list[Json]:
    """The calls of an answer as `read_calls` gives them; arguments that are not a JSON object make no call."""
    calls = []
    for call in listed or []:
        try:
            calls.append(as_call(call.function.name, json.loads(call.function.arguments or "{}")))
        except json.JSONDecodeError:
            continue
    return [call for call in calls if call]


def _content(text: str, media: Media) -> str | list[Json]:
    """Text as it is; with media placeholders, a list of content parts."""
    parts = MEDIUM.split(text)
    if len(parts) == 1:
        return text
    out: list[Json] = []
    for number, part in enumerate(parts):  # every second one is the name of a medium
        if number % 2:
            out.append(_part(part, next(media[part])))
        elif part:
            out.append({"type": "text", "text": part})
    return out


def _part(kind: str, value: Any) -> Json:
    """`{"type": "image_url", "image_url": {"url": …}}`: an address as it is, anything else as a data URL."""
    if not (isinstance(value, str) and re.match(r"(https?|data):", value)):
        content, mime = _bytes_of(kind, value)
        value = f"data:{mime};base64,{base64.b64encode(content).decode()}"
    return {"type": f"{kind}_url", f"{kind}_url": {"url": value}}


def _bytes_of(kind: str, value: Any) -> tuple[bytes, str]:
    """(content, MIME type) of a medium: a path, bytes, or a PIL image."""
    if isinstance(value, bytes):
        return value, RAW_BYTES[kind]
    if isinstance(value, str | Path):
        try:
            return Path(value).read_bytes(), mimetypes.guess_type(str(value))[0] or RAW_BYTES[kind]
        except OSError as error:
            raise SwiftError(f"The {kind} {str(value)!r} cannot be read: {error.strerror}.") from None
    if hasattr(value, "save"):
        stream = io.BytesIO()
        value.save(stream, format="PNG")
        return stream.getvalue(), "image/png"
    raise SwiftError(f"A {kind} of type {type(value).__name__} cannot be sent to a server; give a path or bytes.")
