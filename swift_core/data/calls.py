"""Tool calls as JSON inside text: written so that every reader agrees, and found again."""

from __future__ import annotations

import json
from typing import Any

from swift_core.errors import SwiftError

Call = dict[str, Any]


def write_json(value: Any) -> str:
    """`value` as one line of valid JSON; SwiftError where JSON has no word for it (NaN, infinity)."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError) as error:
        raise SwiftError(f"A tool or tool call cannot be written as JSON ({error}): {str(value)[:200]}") from None


def read_json(text: str, start: int) -> tuple[Any, int] | None:
    """The JSON value that begins at `start`, and the place behind it; None where none begins there."""
    try:
        return _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)


def as_call(name: Any, arguments: Any) -> Call | None:
    """A call as the hooks exchange them; None where a model wrote something else."""
    if not isinstance(name, str) or not name or not isinstance(arguments, dict):
        return None
    return {"name": name, "arguments": arguments}
