"""Messages in any published form as ours, and the media that stand inside them."""

from __future__ import annotations

import difflib
import functools
from dataclasses import dataclass, field
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.data.calls import write_json
from swift_core.data.formats import (
    CONTENT,
    MEDIA_PARTS,
    MEDIUM_KEYS,
    MESSAGE_KEYS,
    OTHER_KEYS,
    ROLE_NAMES,
    TEXT_PARTS,
    THOUGHTS,
    plain,
)
from swift_core.data.tools import read_calls
from swift_core.data.values import loaded, number_of, shown, text_of, truth_of

Message = dict[str, Any]
Media = dict[str, list[Any]]


@dataclass
class Talk:
    """A conversation as it is read. media: what its content parts hold, by modality, in order."""

    messages: list[Message] = field(default_factory=list)
    media: Media = field(default_factory=dict)

    def __add__(self, other: Talk) -> Talk:
        joined = Talk([dict(m) for m in self.messages], {k: list(v) for k, v in self.media.items()})
        for message in other.messages:
            _add(joined.messages, dict(message))
        for name, values in other.media.items():
            joined.media.setdefault(name, []).extend(values)
        return joined

    @property
    def begins(self) -> str:
        """The role of the first message, an empty text where there is none."""
        return str(self.messages[0]["role"]) if self.messages else ""


def read_messages(listed: Any, where: str) -> list[Message]:
    """Messages in any published form, OpenAI's among them, as ours: content parts become text with placeholders."""
    return read_talk(listed, where).messages


def read_talk(listed: Any, where: str) -> Talk:
    """A list of messages, a single one, or a table of them (`{"role": [...], "content": [...]}`), with its media."""
    talk = Talk()
    for number, item in enumerate(_as_list(listed, where), 1):
        message, media = _message(item, f"{where}, message {number}")
        _add(talk.messages, message)
        for name, values in media.items():
            talk.media.setdefault(name, []).extend(values)
    return talk


def said_by(role: str, value: Any, where: str) -> Talk:
    """What a column holds: messages, also as JSON text; other text, a number or a boolean as the message of `role`."""
    value = _messages_in(value) if isinstance(value, str) and value.lstrip().startswith("[{") else value
    if isinstance(value, list) or is_message(value):
        return read_talk(value, where)
    return Talk([{"role": role, "content": text_of(value, where, f"the {role}'s message")}])


def _messages_in(text: str) -> Any:
    """The messages that a text holds as a whole, as tables write them; the text itself where it holds none."""
    try:
        value = loaded(text.strip(), "")
    except SwiftError:
        return text
    return value if isinstance(value, list) and all(map(is_message, value)) else text


def is_message(value: Any) -> bool:
    """Whether it is one message, in OpenAI's words or ShareGPT's."""
    return isinstance(value, dict) and bool({"role", "from"} & value.keys())


def _as_list(listed: Any, where: str) -> list[Any]:
    listed = loaded(listed, where)
    if isinstance(listed, dict) and all(isinstance(v, list) for v in listed.values()) and is_message(listed):
        if len({len(v) for v in listed.values()}) > 1:
            raise SwiftError(f"{where}: the columns of messages must be of one length.")
        return [dict(zip(listed, values, strict=True)) for values in zip(*listed.values(), strict=True)]
    if is_message(listed):
        return [listed]
    if not isinstance(listed, list):
        raise SwiftError(f"{where}: messages must be a list, found {type(listed).__name__}.")
    return listed


def _message(item: Any, where: str) -> tuple[Message, Media]:
    if not isinstance(item, dict):
        raise SwiftError(f"{where}: a message is an object, found {type(item).__name__}.")
    item = {k: v for k, v in item.items() if v is not None}
    _check_keys(item, where)
    role = _role(item, where)
    content = item.get("content", item.get("value", item.get("refusal", "")))
    if role == "tool_call":
        message = {"role": "assistant", "content": "", "tool_calls": read_calls(content, where)}
        return message | _weight(item, "assistant", where), {}
    text, media = _content(content, role, where)
    message = {"role": role, "content": text}
    calls = _calls(item, role, where)
    if calls:
        message["tool_calls"] = calls
    thought = next((item[k] for k in THOUGHTS if item.get(k)), None)
    if thought and role == "assistant":
        message["reasoning_content"] = text_of(thought, where, "a thought")
    return message | _weight(item, role, where), media


def _check_keys(item: Message, where: str) -> None:
    """SwiftError where a message says something under a key that is not read, or under two that are the same."""
    for key in item:
        if key not in MESSAGE_KEYS and _is_like_content(str(key)):
            raise SwiftError(f"{where}: the key {shown(key)} is not read; a message has role and content.")
    for one, other in (("role", "from"), ("content", "value"), ("tool_calls", "function_call")):
        if item.get(one) and item.get(other) and item[one] != item[other]:
            raise SwiftError(f"{where}: {one} and {other} stand in one message; leave one out.")


@functools.cache
def _is_like_content(key: str) -> bool:
    """Whether a message's key looks like one that holds its words: misspelt, or a name that columns have."""
    if key in (*OTHER_KEYS, "label"):
        return False
    known = {*CONTENT, "message", "bbox", *map(plain, MESSAGE_KEYS)}
    return plain(key) in known or bool(difflib.get_close_matches(key, MESSAGE_KEYS, n=1, cutoff=0.85))


def _role(item: Message, where: str) -> str:
    said = item.get("role", item.get("from"))
    role = ROLE_NAMES.get(said.strip().lower()) if isinstance(said, str) else None
    if role is None:
        raise SwiftError(f"{where}: unknown role {shown(said)}. Known: {', '.join(ROLE_NAMES)}.")
    return role


def _calls(item: Message, role: str, where: str) -> list[Message]:
    """The calls of a message: OpenAI's `tool_calls`, or its older `function_call`."""
    value = item.get("tool_calls") or item.get("function_call")
    if value and role != "assistant":
        raise SwiftError(f"{where}: only the assistant calls tools, this is the {role}'s message.")
    return read_calls(value, where) if value else []


def _content(content: Any, role: str, where: str) -> tuple[str, Media]:
    """A message's text with placeholders, and the media of its parts. A tool may answer with any JSON."""
    if role == "tool" and isinstance(content, dict | list) and not _are_parts(content):
        return write_json(content), {}
    if not isinstance(content, list):
        return text_of(content, where), {}
    texts, media = list[str](), Media()
    for part in content:
        name, value = _part(part, where)
        texts.append(value if name == "text" else f"<{name}>")
        if name != "text" and value is not None:
            media.setdefault(name, []).append(value)
    return "".join(texts), media


def _are_parts(content: Any) -> bool:
    known = {*TEXT_PARTS, *MEDIA_PARTS}
    return isinstance(content, list) and all(isinstance(p, dict) and p.get("type") in known for p in content)


def _part(part: Any, where: str) -> tuple[str, Any]:
    """("text", its text) or (modality, the medium; None where a column of the row brings it)."""
    given = {k: v for k, v in part.items() if v is not None} if isinstance(part, dict) else {}
    kind = given.get("type") or next(iter(given), None)
    if not isinstance(kind, str) or kind not in {*TEXT_PARTS, *MEDIA_PARTS}:
        raise SwiftError(f"{where}: unknown content part {shown(part)}.")
    if kind in TEXT_PARTS:
        return "text", text_of(given.get(TEXT_PARTS[kind]), where, "the text of a content part")
    media = [given[k] for k in (kind, *MEDIUM_KEYS) if given.get(k)]
    return MEDIA_PARTS[kind], _data_uri(media[0], kind) if media else None


def _data_uri(value: Any, kind: str) -> Any:
    """A medium in base64 (OpenAI's sounds, Anthropic's pictures) as a data URI; others as they are."""
    if not isinstance(value, dict) or not isinstance(value.get("data"), str):
        return value
    sort = value.get("media_type") or f"{MEDIA_PARTS[kind]}/{value.get('format', 'wav')}"
    return f"data:{sort};base64,{value['data']}"


def _weight(item: Message, role: str, where: str) -> Message:
    """Whether a message is trained (`loss`, Axolotl's `train`), and how much (`loss_scale`, OpenAI's `weight`)."""
    marks: Message = {}
    for key in ("train", "loss"):
        if key in item:
            marks["loss"] = truth_of(item[key])
            if marks["loss"] is None:
                raise SwiftError(f"{where}: {key} is true or false, found {shown(item[key])}.")
    for key in ("weight", "loss_scale"):
        if key in item:
            value = float(item[key]) if isinstance(item[key], bool) else number_of(item[key])
            if value is None or value < 0:
                raise SwiftError(f"{where}: {key} is a finite number from 0 up, found {shown(item[key])}.")
            marks |= {"loss": False} if value == 0 else {"loss_scale": value} if value != 1 else {}
    if role == "assistant":
        return marks
    if marks.get("loss") or "loss_scale" in marks:
        raise SwiftError(f"{where}: only the assistant's messages are trained, this is the {role}'s.")
    return {}


def _add(out: list[Message], message: Message) -> None:
    """Append, folding an assistant's calls that follow its own words (or other calls) into one turn."""
    same = bool(out) and out[-1]["role"] == message["role"] == "assistant"
    same = same and all(out[-1].get(k) == message.get(k) for k in ("loss", "loss_scale"))
    if same and message.get("tool_calls") and not message["content"]:
        out[-1]["tool_calls"] = [*out[-1].get("tool_calls", []), *message["tool_calls"]]
    else:
        out.append(message)
