"""OpenAI's `/v1/responses`, as far as a server without memory can: no stored responses, no tools of its own."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from swift_core.contract.engine import Reply, Request, Sampling
from swift_core.contract.errors import SwiftError
from swift_plugin_serving.errors import BadField
from swift_plugin_serving.guides import Wish, response_format, wish
from swift_plugin_serving.openai_api import PIECE, AnyBody, Json, conversation, sampling_of, thinking_of

PARTS = {"input_text": "text", "output_text": "text", "text": "text", "input_image": "image_url", "input_file": "file"}

NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": (False,),
    "conversation": (),
    "include": ([],),
    "max_tool_calls": (),
    "previous_response_id": (),
    "prompt": (),
    "top_logprobs": (0,),
    "truncation": ("disabled",),
}
"""Fields that this server does not have → values that ask for nothing."""


class ResponsesBody(AnyBody):
    """The body of POST /v1/responses."""

    model: str | None = None
    input: str | list[Json]
    instructions: str | None = None
    max_output_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, ge=0, le=1)
    tools: list[Json] | None = None
    parallel_tool_calls: bool | None = None
    stream: bool | None = None
    text: Json | None = None
    reasoning: Json | None = None
    metadata: Json | None = None
    background: Any = None
    conversation: Any = None
    include: Any = None
    max_tool_calls: Any = None
    previous_response_id: Any = None
    prompt: Any = None
    tool_choice: Any = None
    top_logprobs: Any = None
    truncation: Any = None
    stream_options: Any = None

    def length(self) -> int | None:
        """The longest answer asked for, in tokens."""
        return self.max_output_tokens


def request_of(body: ResponsesBody, defaults: Sampling, adapter: str | None) -> Request:
    """A body as a request. Raises SwiftError for items that this server does not read."""
    tools = [] if body.tool_choice == "none" else [_tool(tool) for tool in body.tools or []]
    system = [{"role": "system", "content": body.instructions}] if body.instructions else []
    items = [{"role": "user", "content": body.input}] if isinstance(body.input, str) else body.input
    messages = [*system, *(_message(item) for item in items if item.get("type") != "reasoning")]
    thinking = thinking_of((body.reasoning or {}).get("effort"), None)
    return conversation(messages, tools, sampling_of(body, defaults), adapter, thinking)


def wish_of(body: ResponsesBody) -> Wish:
    """The form that the body wants. Raises BadField for what cannot be honoured."""
    guide = response_format((body.text or {}).get("format"), "text.format")
    return wish(guide, body.tools or [], body.tool_choice, "tool_choice", body.parallel_tool_calls is not False)


def _tool(tool: Json) -> Json:
    if tool.get("type") != "function":
        raise BadField("tools", f"A tool of type {str(tool.get('type'))[:80]!r} is not supported by this server.")
    return {"type": "function", "function": {k: tool.get(k) for k in ("name", "description", "parameters", "strict")}}


def _message(item: Json) -> Json:
    """An item of the input as a message of the chat interface."""
    sort: Any = item.get("type", "message")
    if sort == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call]}
    if sort == "function_call_output":
        output = item.get("output")
        told = output if isinstance(output, str) else json.dumps(output)
        return {"role": "tool", "tool_call_id": item.get("call_id"), "content": told}
    if sort != "message":
        raise SwiftError(f"input: an item of type {str(sort)[:80]!r} is not read by this server.")
    content = item.get("content")
    return {"role": item.get("role"), "content": [_part(p) for p in content] if isinstance(content, list) else content}


def _part(part: Any) -> Any:
    kind = PARTS.get(str(part.get("type"))) if isinstance(part, dict) else None
    if kind == "text":
        return {"type": "text", "text": part.get("text")}
    if kind == "image_url":
        return {"type": "image_url", "image_url": {"url": part.get("image_url")}}
    raise SwiftError(f"input: a content part like {str(part)[:80]} is not read by this server.")


class Written:
    """Writes one answer in the form of responses. model: as the client called it."""

    def __init__(self, body: ResponsesBody, model: str):
        self.body, self.number, self.place = body, -1, 0
        self.head: Json = {
            "id": f"resp_{uuid.uuid4().hex}",
            "object": "response",
            "created_at": int(time.time()),
            "model": model,
        }
        self.item: Json | None = None
        self.output: list[Json] = []

    def whole(self, replies: list[Reply]) -> Json:
        """The body of an answer that is not streamed."""
        reply = self._kept(replies[0])
        output = [_thoughts(reply.thought)] if reply.thought else []
        output += [_said(reply.content)] if reply.content or not reply.calls else []
        return self._response(reply, [*output, *map(_called, reply.calls)])

    def _kept(self, reply: Reply) -> Reply:
        if self.body.parallel_tool_calls is False:
            reply.calls = reply.calls[:1]
        return reply

    def _response(self, reply: Reply | None, output: list[Json]) -> Json:
        cut = reply is not None and reply.finish_reason == "length"
        status = "in_progress" if reply is None else "incomplete" if cut else "completed"
        return {
            **self.head,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "instructions": self.body.instructions,
            "max_output_tokens": self.body.max_output_tokens,
            "metadata": self.body.metadata or {},
            "output": output,
            "parallel_tool_calls": self.body.parallel_tool_calls is not False,
            "previous_response_id": None,
            "reasoning": self.body.reasoning or {"effort": None, "summary": None},
            "store": False,
            "temperature": self.body.temperature,
            "text": {"format": (self.body.text or {}).get("format") or {"type": "text"}},
            "tool_choice": self.body.tool_choice or "auto",
            "tools": self.body.tools or [],
            "top_p": self.body.top_p,
            "truncation": "disabled",
            "usage": _usage(reply) if reply else None,
        }

    # -- streamed: each event has a number and a type -----------------------------------------------------------
    def _numbered(self, sort: str, **more: Any) -> Json:
        self.number += 1
        return {"type": f"response.{sort}", "sequence_number": self.number, **more}

    def _here(self) -> Json:
        assert self.item is not None
        return {"item_id": self.item["id"], "output_index": len(self.output), "content_index": 0}

    def opening(self, index: int) -> list[Json]:
        """The response without its words."""
        made = self._response(None, [])
        return [self._numbered("created", response=made), self._numbered("in_progress", response=made)]

    def thought(self, index: int, text: str) -> list[Json]:
        """A piece of the thoughts."""
        chunks = self._opened("reasoning")
        assert self.item is not None
        self.item["content"][0]["text"] += text
        return [*chunks, self._numbered("reasoning_text.delta", **self._here(), delta=text)]

    def piece(self, index: int, text: str) -> list[Json]:
        """A piece of the text; the first one opens its item."""
        chunks = self._opened("message")
        assert self.item is not None
        self.item["content"][0]["text"] += text
        return [*chunks, self._numbered("output_text.delta", **self._here(), delta=text, logprobs=[])]

    def _opened(self, sort: str) -> list[Json]:
        """What opens an item of this sort, where it is not open, after what closes another."""
        if self.item and self.item["type"] == sort:
            return []
        chunks = self._closed()
        self.item = {**(_said("") if sort == "message" else _thoughts("")), "status": "in_progress"}
        part = self.item["content"][0]
        chunks.append(
            self._numbered("output_item.added", output_index=len(self.output), item={**self.item, "content": []})
        )
        return [*chunks, self._numbered("content_part.added", **self._here(), part=dict(part))]

    def _closed(self) -> list[Json]:
        if self.item is None:
            return []
        sort = "output_text" if self.item["type"] == "message" else "reasoning_text"
        part, here = self.item["content"][0], self._here()
        more: Json = {"logprobs": []} if sort == "output_text" else {}
        chunks = [
            self._numbered(f"{sort}.done", **here, text=part["text"], **more),
            self._numbered("content_part.done", **here, part=part),
        ]
        done, self.item = {**self.item, "status": "completed"}, None
        chunks.append(self._numbered("output_item.done", output_index=len(self.output), item=done))
        self.output.append(done)
        return chunks

    def closing(self, index: int, reply: Reply, told: bool) -> list[Json]:
        """The text where it was not told, the calls, and the whole response."""
        reply = self._kept(reply)
        chunks = self.thought(index, reply.thought) if reply.thought and not told else []
        chunks += self.piece(index, reply.content) if reply.content and not told else []
        chunks += self._closed()
        for call in reply.calls:
            chunks += self._calling(_called(call))
        cut = reply.finish_reason == "length"
        whole = self._response(reply, self.output)
        return [*chunks, self._numbered("incomplete" if cut else "completed", response=whole)]

    def _calling(self, item: Json) -> Iterator[Json]:
        place, text = len(self.output), item["arguments"]
        here = {"item_id": item["id"], "output_index": place}
        started = {**item, "arguments": "", "status": "in_progress"}
        yield self._numbered("output_item.added", output_index=place, item=started)
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            yield self._numbered("function_call_arguments.delta", **here, delta=piece)
        yield self._numbered("function_call_arguments.done", **here, arguments=text, name=item["name"])
        yield self._numbered("output_item.done", output_index=place, item=item)
        self.output.append(item)

    def end(self, replies: list[Reply]) -> list[Json]:
        """Nothing follows."""
        return []

    def broken(self, error: Json) -> list[Json]:
        """A failure under way."""
        said = error["error"]
        return [
            {
                **self._numbered("error"),
                "type": "error",
                "code": said["code"],
                "message": said["message"],
                "param": None,
            }
        ]

    def event(self, chunk: Json) -> str:
        """A chunk as an event that is named as its type."""
        return f"event: {chunk['type']}\ndata: {json.dumps(chunk, ensure_ascii=False)}\n\n"


def _said(text: str) -> Json:
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    return {
        "type": "message",
        "id": f"msg_{uuid.uuid4().hex}",
        "status": "completed",
        "role": "assistant",
        "content": content,
    }


def _thoughts(text: str) -> Json:
    content = [{"type": "reasoning_text", "text": text}]
    return {"type": "reasoning", "id": f"rs_{uuid.uuid4().hex}", "summary": [], "content": content}


def _called(call: Json) -> Json:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    named = {"call_id": f"call_{uuid.uuid4().hex[:24]}", "name": call["name"], "arguments": arguments}
    return {"type": "function_call", "id": f"fc_{uuid.uuid4().hex}", **named, "status": "completed"}


def _usage(reply: Reply) -> Json:
    asked, said = reply.prompt_tokens, reply.completion_tokens
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    return {"input_tokens": asked, "output_tokens": said, "total_tokens": asked + said, **details}
