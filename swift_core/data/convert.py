"""From the column layouts of the field (messages, query/response, Alpaca, ShareGPT) to the standard row."""

from __future__ import annotations

import json
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row, check_row
from swift_core.data.boxes import SCALES

Raw = dict[str, Any]
Message = dict[str, Any]

ROLE_NAMES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "observation": "tool",
    "tool_response": "tool",
    "function": "tool",
    "function_call": "tool_call",
    "tool_call": "tool_call",
}
"""Role words in published data → our roles. `tool_call` is folded into the assistant's turn."""

COLUMNS = {
    "query": ("query", "prompt", "input", "instruction", "question", "problem"),
    "response": ("response", "answer", "output", "completion", "target", "chosen", "text"),
    "system": ("system", "system_prompt"),
    "rejected": ("rejected_response", "rejected"),
    "images": ("images", "image"),
    "videos": ("videos", "video"),
    "audios": ("audios", "audio"),
}
"""Our column → the names under which data sets carry it, in order of preference."""


def to_row(raw: Raw, columns: dict[str, str] | None = None) -> Row:
    """A raw row in the standard form, checked. columns: data set column → our column, from `--columns`."""
    raw = {(columns or {}).get(k, k): v for k, v in raw.items()}
    where = str(raw.pop("_where", "row"))
    rest = dict(raw)
    messages = _messages(rest, where)
    row = Row(
        messages=messages,
        images=_media(rest, "images"),
        videos=_media(rest, "videos"),
        audios=_media(rest, "audios"),
        tools=read_tools(rest.pop("tools", None), where),
        objects=_objects(rest.pop("objects", None), where),
        rejected=_rejected(rest, messages, where),
        label=rest.pop("label", None),
        where=where,
    )
    row.extra = rest
    _place_media(row)
    return check_row(row)


def _messages(rest: Raw, where: str) -> list[Message]:
    names = ["messages", "conversations", "conversation"] + ["chosen"] * isinstance(rest.get("chosen"), list)
    for name in names:
        if rest.get(name) is not None:
            listed = read_messages(_loaded(rest.pop(name), where), where)
            system = _take(rest, "system")
            has_system = bool(listed) and listed[0]["role"] == "system"
            return listed if has_system or not system else [{"role": "system", "content": system}, *listed]
    return _from_columns(rest, where)


def read_messages(listed: Any, where: str) -> list[Message]:
    """Messages in any published form, OpenAI's among them, as ours: content parts become text with placeholders.

    Raises SwiftError, which begins with `where`, where `listed` is not a list.
    """
    if not isinstance(listed, list):
        raise SwiftError(f"{where}: messages must be a list, found {type(listed).__name__}.")
    out: list[Message] = []
    for number, item in enumerate(listed, 1):
        _add(out, _message(item, f"{where}, message {number}"))
    return out


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict):
        raise SwiftError(f"{where}: a message is an object, found {type(item).__name__}.")
    said = item.get("role", item.get("from"))
    role = ROLE_NAMES.get(str(said).lower())
    if role is None:
        raise SwiftError(f"{where}: unknown role {said!r}. Known: {', '.join(ROLE_NAMES)}.")
    content = item.get("content", item.get("value"))
    if isinstance(content, list):
        content = _join_parts(content, where)
    message: Message = {"role": role, "content": "" if content is None else content}
    if item.get("tool_calls"):
        message["tool_calls"] = [_call(c, where) for c in item["tool_calls"]]
    if role == "tool_call":
        message = {"role": "assistant", "content": "", "tool_calls": [_call(content, where)]}
    thought = next((item[k] for k in THOUGHTS if item.get(k)), None)
    if thought and role == "assistant":
        message["reasoning_content"] = str(thought)
    return message | {k: item[k] for k in ("loss", "loss_scale") if item.get(k) is not None}


THOUGHTS = ("reasoning_content", "reasoning", "thinking")
"""Under which keys published rows and servers hold an assistant's thoughts, apart from its words."""


def _join_parts(parts: list[Any], where: str) -> str:
    """OpenAI content parts as text with placeholders."""
    out = []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text" and isinstance(part.get("text"), str):
            out.append(part["text"])
        elif kind in ("image", "image_url", "video", "video_url", "audio", "audio_url", "input_audio"):
            out.append(f"<{kind.replace('_url', '').replace('input_', '')}>")
        else:
            raise SwiftError(f"{where}: unknown content part {part!r}.")
    return "".join(out)


def _add(out: list[Message], message: Message) -> None:
    """Append, folding an assistant's calls that follow its own words (or other calls) into one turn."""
    same = bool(out) and out[-1]["role"] == message["role"] == "assistant"
    if same and message.get("tool_calls") and not message["content"]:
        out[-1].setdefault("tool_calls", []).extend(message["tool_calls"])
    else:
        out.append(message)


def _call(call: Any, where: str) -> Raw:
    """One tool call as `{"name", "arguments": dict}` from OpenAI's form, a plain object or JSON text."""
    call = _loaded(call, where)
    call = call.get("function", call) if isinstance(call, dict) else call
    if not isinstance(call, dict) or "name" not in call:
        raise SwiftError(f"{where}: a tool call has a name and arguments, found {call!r}.")
    arguments = _loaded(call.get("arguments") or {}, where)
    if not isinstance(arguments, dict):
        raise SwiftError(f"{where}: the arguments of {call['name']!r} must be a JSON object, found {arguments!r}.")
    return {"name": call["name"], "arguments": arguments}


def _from_columns(rest: Raw, where: str) -> list[Message]:
    instruction = _alpaca(rest)
    query = instruction if instruction is not None else _take(rest, "query")
    response = _take(rest, "response")
    messages: list[Message] = []
    system = _take(rest, "system")
    if system:
        messages.append({"role": "system", "content": system})
    for pair in _loaded(rest.pop("history", None) or [], where):
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise SwiftError(f"{where}: history is a list of [query, response] pairs, found {pair!r}.")
        messages += [{"role": "user", "content": pair[0]}, {"role": "assistant", "content": pair[1]}]
    if query is not None:
        messages.append({"role": "user", "content": query})
    if response is not None:
        messages.append({"role": "assistant", "content": response})
    if not messages:
        raise SwiftError(
            f"{where}: no conversation found in columns {sorted(rest)}. "
            'Use messages, query/response, or map yours with --columns \'{"mine": "query"}\'.'
        )
    return messages


def _alpaca(rest: Raw) -> str | None:
    """Alpaca's instruction and input as one query, where a row has both an instruction and an output."""
    if "instruction" not in rest or "output" not in rest:
        return None
    parts = [rest.pop("instruction"), rest.pop("input", None)]
    return "\n".join(str(p) for p in parts if p)


def _take(rest: Raw, name: str) -> Any:
    for column in COLUMNS[name]:
        if rest.get(column) is not None:
            return rest.pop(column)
    return None


def _media(rest: Raw, name: str) -> list[Any]:
    value = _take(rest, name)
    if value is None:
        return []
    values = value if isinstance(value, list) else [value]
    return [v.get("bytes") or v.get("path") if isinstance(v, dict) else v for v in values]


def _place_media(row: Row) -> None:
    """Put placeholders that the row leaves out before its first user turn's text."""
    for messages in (row.messages, row.rejected or []):
        users = [m for m in messages if m["role"] == "user"]
        text = "".join(m["content"] for m in messages if isinstance(m["content"], str))
        for name, values in row.media.items():
            if users and f"<{name}>" not in text and isinstance(users[0]["content"], str):
                users[0]["content"] = f"<{name}>" * len(values) + users[0]["content"]


def read_tools(value: Any, where: str) -> list[Raw]:
    """Tools as OpenAI function schemas, from a list, JSON text, or bare function objects.

    Raises SwiftError, which begins with `where`, where `value` is not a list of tools.
    """
    tools = _loaded(value or [], where)
    if not isinstance(tools, list):
        raise SwiftError(f"{where}: tools must be a list of function schemas, found {type(tools).__name__}.")
    loaded = [_loaded(tool, where) for tool in tools]
    return [t if "function" in t else {"type": "function", "function": t} for t in loaded]


def _objects(value: Any, where: str) -> Raw:
    """Objects in the column form, from it, from JSON text, or from the paper's list of objects."""
    found = _loaded(value or {}, where)
    if isinstance(found, list):
        found = _columns_of(found, where)
    if not isinstance(found, dict):
        raise SwiftError(f"{where}: objects must hold ref, bbox and bbox_type, found {type(found).__name__}.")
    said = found.get("bbox_type") or "real"
    for kind in said if isinstance(said, list) else [said]:
        if kind not in SCALES:
            raise SwiftError(f"{where}: bbox_type {kind!r} is not real, norm_1 or norm_1000.")
    return found


def _columns_of(objects: list[Any], where: str) -> Raw:
    """The paper's list of objects (caption, bbox, bbox_type, image) as columns."""
    for number, item in enumerate(objects, 1):
        if not isinstance(item, dict) or "bbox" not in item:
            raise SwiftError(f"{where}: object {number} has no bbox: {item!r}.")
    return {
        "ref": [o.get("caption", o.get("ref", "")) for o in objects],
        "bbox": [o["bbox"] for o in objects],
        "bbox_type": [o.get("bbox_type", "real") for o in objects],
        "image_id": [o.get("image", o.get("image_id", 0)) for o in objects],
    }


def _rejected(rest: Raw, messages: list[Message], where: str) -> list[Message] | None:
    listed = rest.pop("rejected_messages", None)
    if listed is not None:
        return read_messages(_loaded(listed, where), where)
    answer = _take(rest, "rejected")
    if answer is None:
        return None
    if not answer:
        raise SwiftError(f"{where}: the rejected answer is empty.")
    if isinstance(answer, list):
        return read_messages(answer, where)
    return [*messages[:-1], {"role": "assistant", "content": answer}]


def _loaded(value: Any, where: str) -> Any:
    """JSON text as its value; everything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except json.JSONDecodeError as error:
        raise SwiftError(f"{where}: expected JSON, {error.msg}: {value[:60]!r}") from None
