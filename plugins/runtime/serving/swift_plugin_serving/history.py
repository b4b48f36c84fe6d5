"""What an agent sends back: the calls that a model made, also those that it wrote badly.

A model that once wrote arguments that are no JSON object has the client's word for it in its history ever after, and
the client cannot mend it. Such a call is shown to the model as what it was: a call with its words.
"""

from __future__ import annotations

import json
from typing import Any

Json = dict[str, Any]

MALFORMED = "malformed_arguments"
"""The name under which the template writes arguments that are no JSON object."""


def with_sound_calls(messages: list[Json]) -> list[Json]:
    """The messages with each call's arguments as a JSON object; what is none stands in one, under `MALFORMED`."""
    return [_sound(message) for message in messages]


def _sound(message: Json) -> Json:
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or message.get("role") != "assistant":
        return message
    return {**message, "tool_calls": [_sound_call(call) for call in calls]}


def _sound_call(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    return {**call, "function": {**function, "arguments": arguments_of(function["arguments"])}}


def arguments_of(text: str) -> Json:
    """The arguments that a model wrote as JSON text."""
    if not text.strip():
        return {}
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return {MALFORMED: text}
    return value if isinstance(value, dict) else {MALFORMED: text}
