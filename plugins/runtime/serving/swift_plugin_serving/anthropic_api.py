"""Anthropic's `/v1/messages`: their bodies as OpenAI's messages, and answers in their form, whole or streamed."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from swift_core.contract.engine import Reply, Request, Sampling
from swift_core.contract.errors import SwiftError
from swift_plugin_serving.errors import BadField
from swift_plugin_serving.guides import Wish
from swift_plugin_serving.openai_api import PIECE, AnyBody, Json, conversation, sampling_of

STOPPED = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
"""Why an answer ended: in OpenAI's words and in theirs."""


class CountBody(AnyBody):
    """The body of POST /v1/messages/count_tokens."""

    model: str | None = None
    messages: list[Json] = Field(min_length=1)
    system: str | list[Json] | None = None
    tools: list[Json] | None = None
    tool_choice: Json | None = None
    thinking: Json | None = None


class MessagesBody(CountBody):
    """The body of POST /v1/messages."""

    max_tokens: int = Field(ge=1)
    stop_sequences: list[str] | None = None
    stream: bool | None = None
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)
    top_k: int | None = Field(None, ge=-1)

    @property
    def stop(self) -> list[str] | None:
        """Texts that end the answer."""
        return self.stop_sequences

    def length(self) -> int:
        """The longest answer asked for, in tokens."""
        return self.max_tokens


def request_of(body: CountBody, defaults: Sampling, adapter: str | None) -> Request:
    """A body as a request. Raises SwiftError for blocks that this server does not read."""
    choice = (body.tool_choice or {}).get("type", "auto")
    tools = [] if choice == "none" else [_tool(tool) for tool in body.tools or []]
    sampling = sampling_of(body, defaults) if isinstance(body, MessagesBody) else defaults
    system = [{"role": "system", "content": _texts(body.system, "system")}] if body.system else []
    said = [one for message in body.messages for one in _messages(message)]
    thinking = {"enabled": True, "disabled": False}.get((body.thinking or {}).get("type", ""))
    return conversation([*system, *said], tools, sampling, adapter, thinking)


def wish_of(body: CountBody) -> Wish:
    """Which tool the body forces. Raises BadField for a choice that this server does not know."""
    choice = body.tool_choice or {}
    sort, several = choice.get("type", "auto"), choice.get("disable_parallel_tool_use") is not True
    if sort in ("auto", "none"):
        return Wish(several=several)
    name = {"any": "", "tool": choice.get("name")}.get(sort)
    if not isinstance(name, str) or not body.tools:
        raise BadField("tool_choice", f"tool_choice={str(choice)[:80]} is not supported by this server.")
    return Wish(forced=name, several=several)


def _tool(tool: Json) -> Json:
    """A tool as a function schema; tools that Anthropic's own servers run have a type of their own."""
    if tool.get("type") not in (None, "custom"):
        raise BadField("tools", f"A tool of type {str(tool['type'])[:80]!r} is not supported by this server.")
    named = {"name": tool.get("name"), "parameters": tool.get("input_schema")}
    strict = {"strict": tool["strict"]} if tool.get("strict") else {}
    return {"type": "function", "function": {**named, "description": tool.get("description"), **strict}}


def _texts(content: Any, where: str) -> str:
    """The text of a content that holds no media."""
    if isinstance(content, str):
        return content
    blocks = [block if isinstance(block, dict) else {} for block in content]
    if not all(isinstance(block.get("text"), str) for block in blocks):
        raise SwiftError(f"{where}: only text is read here.")
    return "\n".join(block["text"] for block in blocks)


def _messages(message: Json) -> Iterator[Json]:
    """A message of theirs as ours: results of tools stand in messages of their own, before what the user adds."""
    role, content = message.get("role"), message.get("content")
    if isinstance(content, str) or not isinstance(content, list):
        yield {"role": role, "content": content}
        return
    blocks = [block if isinstance(block, dict) else {"type": block} for block in content]
    yield from (_result(block) for block in blocks if block.get("type") == "tool_result")
    rest = [block for block in blocks if block.get("type") not in ("tool_result", "redacted_thinking")]
    if role == "assistant":
        yield _answer(rest)
    elif rest or not blocks:
        yield {"role": role, "content": [_part(block) for block in rest]}


def _result(block: Json) -> Json:
    content = block.get("content")
    content = content if isinstance(content, str) else _texts(content or [], "messages, tool_result")
    return {"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": content}


def _answer(blocks: list[Json]) -> Json:
    texts = [_part(block) for block in blocks if block.get("type") not in ("tool_use", "thinking")]
    calls = [
        {"id": block.get("id"), "type": "function", "function": {"name": block.get("name"), "arguments": _input(block)}}
        for block in blocks
        if block.get("type") == "tool_use"
    ]
    thoughts = [str(block.get("thinking") or "") for block in blocks if block.get("type") == "thinking"]
    said: Json = {"role": "assistant", "content": texts}
    return {
        **said,
        **({"tool_calls": calls} if calls else {}),
        **({"reasoning_content": "".join(thoughts)} if thoughts else {}),
    }


def _input(block: Json) -> str:
    return json.dumps(block.get("input") or {})


def _part(block: Json) -> Json:
    """A block as a content part of OpenAI's."""
    if block.get("type") == "text":
        return {"type": "text", "text": block.get("text")}
    source = block.get("source")
    if block.get("type") != "image" or not isinstance(source, dict):
        raise SwiftError(f"messages: a content block of type {str(block.get('type'))[:80]!r} is not read here.")
    url = source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"
    return {"type": "image_url", "image_url": {"url": url}}


class Written:
    """Writes one answer in Anthropic's form. model: as the client called it."""

    def __init__(self, model: str):
        self.model, self.name, self.block = model, f"msg_{uuid.uuid4().hex}", 0
        self.open = ""

    def whole(self, replies: list[Reply]) -> Json:
        """The body of an answer that is not streamed."""
        reply = replies[0]
        blocks: list[Json] = [{"type": "thinking", "thinking": reply.thought, "signature": ""}] if reply.thought else []
        blocks += [{"type": "text", "text": reply.content}] if reply.content or not reply.calls else []
        blocks += [_use(call) for call in reply.calls]
        return self._message(
            blocks, _why(reply), {"input_tokens": reply.prompt_tokens, "output_tokens": reply.completion_tokens}
        )

    def _message(self, blocks: list[Json], why: str | None, usage: Json) -> Json:
        head = {"id": self.name, "type": "message", "role": "assistant", "model": self.model}
        return {**head, "content": blocks, "stop_reason": why, "stop_sequence": None, "usage": usage}

    def opening(self, index: int) -> list[Json]:
        """The message without its words; its tokens are counted at the end."""
        return [{"type": "message_start", "message": self._message([], None, {"input_tokens": 0, "output_tokens": 0})}]

    def thought(self, index: int, text: str) -> list[Json]:
        """A piece of the thoughts."""
        opened = self._opened("thinking", {"thinking": "", "signature": ""})
        return [*opened, self._delta({"type": "thinking_delta", "thinking": text})]

    def piece(self, index: int, text: str) -> list[Json]:
        """A piece of the text; the first one opens its block."""
        return [*self._opened("text", {"text": ""}), self._delta({"type": "text_delta", "text": text})]

    def _opened(self, sort: str, empty: Json) -> list[Json]:
        """What opens a block of this sort, where it is not open, after what closes another."""
        if self.open == sort:
            return []
        closed = [self._stop()] if self.open else []
        self.open = sort
        return [*closed, self._start({"type": sort, **empty})]

    def closing(self, index: int, reply: Reply, told: bool) -> list[Json]:
        """The text where it was not told, then the calls, and why the answer ended."""
        chunks = self.thought(index, reply.thought) if reply.thought and not told else []
        chunks += self.piece(index, reply.content) if reply.content and not told else []
        chunks += [self._stop()] if self.open else []
        for call in reply.calls:
            chunks += self._called(call)
        usage = {"input_tokens": reply.prompt_tokens, "output_tokens": reply.completion_tokens}
        why = {"stop_reason": _why(reply), "stop_sequence": None}
        return [*chunks, {"type": "message_delta", "delta": why, "usage": usage}]

    def _called(self, call: Json) -> Iterator[Json]:
        text = json.dumps(call["arguments"], ensure_ascii=False)
        yield self._start({**_use(call), "input": {}})
        for start in range(0, len(text), PIECE):
            yield self._delta({"type": "input_json_delta", "partial_json": text[start : start + PIECE]})
        yield self._stop()

    def _start(self, block: Json) -> Json:
        return {"type": "content_block_start", "index": self.block, "content_block": block}

    def _delta(self, delta: Json) -> Json:
        return {"type": "content_block_delta", "index": self.block, "delta": delta}

    def _stop(self) -> Json:
        self.block, self.open = self.block + 1, ""
        return {"type": "content_block_stop", "index": self.block - 1}

    def end(self, replies: list[Reply]) -> list[Json]:
        """Nothing follows."""
        return [{"type": "message_stop"}]

    def broken(self, error: Json) -> list[Json]:
        """A failure under way."""
        return [failure(error)]

    def event(self, chunk: Json) -> str:
        """A chunk as an event that is named as its type."""
        return f"event: {chunk['type']}\ndata: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def _why(reply: Reply) -> str:
    return STOPPED.get(reply.finish_reason, "end_turn")


def _use(call: Json) -> Json:
    return {
        "type": "tool_use",
        "id": f"toolu_{uuid.uuid4().hex[:24]}",
        "name": call["name"],
        "input": call["arguments"],
    }


KINDS = {"server_error": "api_error", None: "invalid_request_error"}


def failure(body: Json) -> Json:
    """A failure in OpenAI's form as one in Anthropic's."""
    said = body["error"]
    kind = "not_found_error" if said["code"] == "model_not_found" else KINDS.get(said["type"], said["type"])
    return {"type": "error", "error": {"type": kind, "message": said["message"]}}
