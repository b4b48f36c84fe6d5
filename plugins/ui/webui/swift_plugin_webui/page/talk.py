"""A conversation with a server that speaks OpenAI's interface: what is sent, and what comes back piece by piece.

History is Gradio's: messages with a role, a content, and for thoughts and calls a title under which they are folded.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import mimetypes
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from swift_core import SwiftError

SORTS = {"image": "image_url", "video": "video_url", "audio": "audio_url"}
"""First half of a file's media type → the type of a part of a message."""

EVERY = 0.1
"""Seconds between two pictures of a growing answer: a browser that draws each token has no time for its user."""

THOUGHTS, CALL, RESULT = "thinking ", "call ", "result "
"""How the ids of messages begin that show thoughts, calls and results of tools; what follows is the call as JSON."""


@dataclass(frozen=True)
class Wishes:
    """How answers are drawn. model: a name that the server lists; an adapter's, to talk with the adapter."""

    model: str
    system: str = ""
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    tools: str = ""
    thinking: bool | None = None


@dataclass
class Answer:
    """What has come so far. t: the words of the page."""

    text: str = ""
    thought: str = ""
    calls: dict[int, dict[str, str]] = field(default_factory=dict)
    t: Callable[[str], str] = str

    def add(self, delta: Any) -> None:
        """Take a piece of a streamed answer."""
        self.text += getattr(delta, "content", None) or ""
        self.thought += getattr(delta, "reasoning_content", None) or ""
        for call in getattr(delta, "tool_calls", None) or ():
            kept = self.calls.setdefault(call.index, {"id": f"call-{call.index}", "name": "", "arguments": ""})
            kept["id"] = call.id or kept["id"]
            if call.function:
                kept["name"] += call.function.name or ""
                kept["arguments"] += call.function.arguments or ""

    def messages(self, done: bool) -> list[dict[str, Any]]:
        """As messages of the page: thoughts folded, then the text, then the calls."""
        shown: list[dict[str, Any]] = []
        thought, text = self._apart()
        if thought:
            state = "done" if done or text else "pending"
            shown.append(_folded(thought, self.t("Thinking"), THOUGHTS, state))
        if text or not (thought or self.calls):
            shown.append({"role": "assistant", "content": text})
        return [*shown, *(self._call(call) for call in self.calls.values())]

    def _apart(self) -> tuple[str, str]:
        """(thought, words); some servers leave the thought in the words."""
        opened = self.text.lstrip()
        if not opened.startswith("<think>"):
            return self.thought, self.text
        thought, _, words = opened.removeprefix("<think>").partition("</think>")
        return (self.thought + thought).strip(), words.lstrip()

    def _call(self, call: dict[str, str]) -> dict[str, Any]:
        said = json.dumps(call, ensure_ascii=False)
        title = f"{self.t('Tool call')}: {call['name']}"
        return _folded(f"```json\n{call['arguments']}\n```", title, CALL + said, "done")


def result_of(call: dict[str, str], text: str, t: Callable[[str], str] = str) -> dict[str, Any]:
    """What a tool gave, as a message of the page."""
    said = json.dumps({"id": call["id"]}, ensure_ascii=False)
    return _folded(f"```\n{text}\n```", f"{t('Tool result')}: {call['name']}", RESULT + said, "done")


def unanswered(history: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The calls of the last answer that have no result yet."""
    calls: dict[str, dict[str, str]] = {}
    for message in history:
        sort, said = _sort_of(message)
        if sort == CALL:
            calls[said["id"]] = said
        elif sort == RESULT:
            calls.pop(said["id"], None)
        elif sort != THOUGHTS:
            calls.clear()
    return list(calls.values())


def awaits_answer(history: list[dict[str, Any]]) -> bool:
    """Whether it is the model's turn: a user has spoken, or the last of the calls has its result."""
    if not history:
        return False
    sort = _sort_of(history[-1])[0]
    return history[-1]["role"] == "user" or (sort == RESULT and not unanswered(history))


def _sort_of(message: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """(THOUGHTS, CALL, RESULT or nothing; what is said of the call)."""
    name = str((message.get("metadata") or {}).get("id") or "")
    sort = next((sort for sort in (THOUGHTS, CALL, RESULT) if name.startswith(sort)), "")
    return sort, json.loads(name.removeprefix(sort)) if sort in (CALL, RESULT) else {}


def _folded(text: str, title: str, name: str, state: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "metadata": {"title": title, "id": name, "status": state}}


def check_server(url: str) -> str:
    """The address of a server on this machine. Raises SwiftError for any other: the page asks nobody else's."""
    parts = urlsplit(url if "//" in url else f"http://{url}")
    try:
        address = parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
        port = parts.port
    except ValueError:
        address, port = False, None
    if not address or port is None or parts.scheme not in ("http", "https"):
        raise SwiftError(f"{url[:100]!r} is no server on this machine: write http://127.0.0.1:PORT.")
    return f"{parts.scheme}://{parts.netloc}"


def models_at(url: str, key: str = "") -> list[str]:
    """The names that a server answers to: the model, then its adapters. Raises SwiftError where it does not answer."""
    import openai

    try:
        return [model.id for model in _client(url, key).models.list()]
    except openai.OpenAIError as error:
        raise SwiftError(f"{url} does not answer as a model does: {str(error)[:300]}") from None


def _client(url: str, key: str) -> Any:
    import openai

    return openai.OpenAI(base_url=f"{check_server(url)}/v1", api_key=key or "EMPTY", max_retries=0, timeout=600)


def answers(
    url: str, key: str, history: list[dict[str, Any]], wishes: Wishes, t: Callable[[str], str] = str
) -> Iterator[list[dict[str, Any]]]:
    """The history with the answer as it grows. Raises SwiftError for what the server refuses, and for broken tools."""
    import httpx
    import openai

    body = body_of(history, wishes)
    answer, shown = Answer(t=t), 0.0
    try:
        with _client(url, key).chat.completions.create(stream=True, **body) as stream:
            for piece in stream:
                if piece.choices:
                    answer.add(piece.choices[0].delta)
                    if time.monotonic() - shown > EVERY:
                        yield [*history, *answer.messages(False)]
                        shown = time.monotonic()
    except (openai.OpenAIError, httpx.HTTPError) as error:  # httpx's: the server went away in the middle
        raise SwiftError(_said(error)) from None
    yield [*history, *answer.messages(True)]


def _said(error: Any) -> str:
    body = getattr(error, "body", None)
    text = body.get("message") if isinstance(body, dict) else None
    return str(text or error)[:600]


def body_of(history: list[dict[str, Any]], wishes: Wishes) -> dict[str, Any]:
    """The request. Raises SwiftError where the tools are no JSON list, or a file is of no sort that models read."""
    system = [{"role": "system", "content": wishes.system}] if wishes.system.strip() else []
    chosen = {"temperature": wishes.temperature, "top_p": wishes.top_p, "max_tokens": wishes.max_tokens}
    body: dict[str, Any] = {"model": wishes.model, "messages": [*system, *messages_of(history)]}
    body |= {name: value for name, value in chosen.items() if value is not None}
    if wishes.tools.strip():
        body["tools"] = tools_of(wishes.tools)
    if wishes.thinking is not None:
        body["extra_body"] = {"chat_template_kwargs": {"enable_thinking": wishes.thinking}}
    return body


def tools_of(text: str) -> list[Any]:
    """Tools in OpenAI's form. Raises SwiftError where the text is no JSON list of them."""
    try:
        tools = json.loads(text)
    except ValueError as error:
        raise SwiftError(f"The tools are not valid JSON: {error}") from None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise SwiftError('The tools must be a JSON list: [{"type": "function", "function": {"name": …}}].')
    return [tool if "function" in tool else {"type": "function", "function": tool} for tool in tools]


def messages_of(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What was said, as a server takes it: neighbouring messages of a user become one, thoughts are left out."""
    sent: list[dict[str, Any]] = []
    for message in history:
        sort, said = _sort_of(message)
        if sort == THOUGHTS:
            continue
        parts = _parts(message["content"])
        if sort == CALL:
            _add_call(sent, said)
        elif sort == RESULT:
            sent.append({"role": "tool", "tool_call_id": said["id"], "content": [_unfenced(parts)]})
        elif sent and sent[-1]["role"] == message["role"] == "user":
            sent[-1]["content"] += parts
        else:
            sent.append({"role": message["role"], "content": parts})
    return [{**message, "content": _simple(message["content"])} for message in sent]


def _add_call(sent: list[dict[str, Any]], call: dict[str, str]) -> None:
    if not sent or sent[-1]["role"] != "assistant":
        sent.append({"role": "assistant", "content": []})
    made = {"id": call["id"], "type": "function"}
    made |= {"function": {"name": call["name"], "arguments": call["arguments"]}}  # type: ignore[dict-item]
    sent[-1].setdefault("tool_calls", []).append(made)


def _unfenced(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """A result without the fence of three ticks in which the page shows it."""
    text = "\n".join(part["text"] for part in parts if part["type"] == "text")
    return {"type": "text", "text": text.removeprefix("```\n").removesuffix("\n```")}


def _simple(parts: list[dict[str, Any]]) -> Any:
    """Text alone as text, which every server takes."""
    if all(part["type"] == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _parts(content: Any) -> list[dict[str, Any]]:
    items = content if isinstance(content, list) else [content]
    return [part for item in items for part in _part(item)]


def _part(item: Any) -> list[dict[str, Any]]:
    if isinstance(item, str):
        return [{"type": "text", "text": item}] if item else []
    if isinstance(item, dict) and item.get("type") == "text":
        return [{"type": "text", "text": item["text"]}] if item["text"] else []
    path = _path(item)
    return [medium(path)] if path else []


def _path(item: Any) -> str:
    """The file of a message: Gradio gives it as path, as map with a path, or as map with such a map in it."""
    if isinstance(item, dict):
        inner = item.get("file", item)
        return str(inner.get("path", "")) if isinstance(inner, dict) else ""
    return str(item[0]) if isinstance(item, tuple) else str(getattr(item, "path", "") or "")


def medium(path: str) -> dict[str, Any]:
    """A picture, video or sound as a part of a message. Raises SwiftError for files of another sort."""
    sort = mimetypes.guess_type(path)[0] or ""
    name = SORTS.get(sort.partition("/")[0])
    if name is None:
        raise SwiftError(f"{Path(path).name} is no picture, video or sound.")
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return {"type": name, name: {"url": f"data:{sort};base64,{data}"}}
