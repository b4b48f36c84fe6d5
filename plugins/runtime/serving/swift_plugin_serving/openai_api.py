"""OpenAI's interface as data: bodies of requests checked and read, replies and pieces written.

A field that OpenAI knows and that cannot be honoured here is refused, never ignored in silence: a client
that asks for log-probabilities or a JSON schema must learn that it will not get them.
"""

from __future__ import annotations

import dataclasses
import json
import time
import uuid
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from swift_core.contract.engine import Reply, Request, Sampling
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.convert import read_messages, read_tools

Json = dict[str, Any]

WITHOUT_EFFECT = {
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False, 0),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "tool_choice": ("auto", "none"),
    "echo": (False,),
    "suffix": ("",),
    "best_of": (1,),
}
"""Fields that are not supported → the values that ask for nothing; any other is refused."""


class StreamOptions(BaseModel):
    """Options of a streamed answer. include_usage: a last chunk counts the tokens."""

    include_usage: bool = False


class Body(BaseModel):
    """What both kinds of completion take. top_k and repetition_penalty are ours, not OpenAI's."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = None
    max_tokens: int | None = Field(None, ge=1)
    temperature: float | None = Field(None, ge=0, le=10)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=0)
    repetition_penalty: float | None = Field(None, gt=0)
    n: int | None = Field(None, ge=1, le=128)
    stop: str | list[str] | None = None
    seed: int | None = Field(None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    # taken from any client, of no effect on the answer
    user: Any = None
    metadata: Any = None
    store: Any = None
    service_tier: Any = None
    safety_identifier: Any = None
    prompt_cache_key: Any = None

    # known, and refused unless they ask for nothing: see WITHOUT_EFFECT
    frequency_penalty: Any = None
    presence_penalty: Any = None
    logit_bias: Any = None
    logprobs: Any = None

    def length(self) -> int | None:
        """The longest answer asked for, in tokens."""
        return self.max_tokens


class ChatBody(Body):
    """The body of POST /v1/chat/completions."""

    messages: list[Json] = Field(min_length=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    tools: list[Json] | None = None
    parallel_tool_calls: Any = None
    tool_choice: Any = None
    top_logprobs: Any = None
    response_format: Any = None

    def length(self) -> int | None:
        """The longest answer asked for, in tokens; the newer of the two names wins."""
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(Body):
    """The body of POST /v1/completions: texts, or token ids, to go on from without a chat template."""

    prompt: str | list[int] | list[str] | list[list[int]]
    echo: Any = None
    suffix: Any = None
    best_of: Any = None


def check(body: Body) -> None:
    """SwiftError where the body asks for something that would be ignored."""
    for name, neutral in WITHOUT_EFFECT.items():
        value = getattr(body, name, None)
        if value is not None and value not in neutral:
            raise SwiftError(f"{name}={value!r} is not supported by this server.")


def chat_request(body: ChatBody, sampling: Sampling, adapter: str | None) -> Request:
    """The conversation of a chat body as a request. sampling: as `sampling_of` gives it."""
    row = Row(read_messages(body.messages, "messages"), where="messages")
    if body.tools and body.tool_choice != "none":
        row.tools = read_tools(body.tools, "tools")
    for message in body.messages:
        _add_media(row, message.get("content"))
    return Request(row, sampling, adapter)


def prompt_requests(body: CompletionBody, sampling: Sampling, adapter: str | None) -> list[Request]:
    """One request per prompt of a completion body."""
    several = isinstance(body.prompt, list) and bool(body.prompt) and not isinstance(body.prompt[0], int)
    prompts: list[Any] = body.prompt if several else [body.prompt]  # type: ignore[assignment]
    return [Request(Row([], where="prompt"), sampling, adapter, prompt) for prompt in prompts]


def sampling_of(body: Body, defaults: Sampling) -> Sampling:
    """How the answer is drawn: what the body says, and the server's defaults for the rest."""
    said = {
        "max_new_tokens": body.length(),
        "stop": None if body.stop is None else (body.stop,) if isinstance(body.stop, str) else tuple(body.stop),
        **{name: getattr(body, name) for name in ("temperature", "top_p", "top_k", "repetition_penalty", "seed")},
    }
    return dataclasses.replace(defaults, **{name: value for name, value in said.items() if value is not None})


def _add_media(row: Row, content: Any) -> None:
    """The media of a message's content parts, in order, added to the row."""
    if not isinstance(content, list):
        return
    for part in content:
        kind = str(part.get("type", "")).removesuffix("_url").removeprefix("input_")
        if kind in ("image", "video", "audio"):
            getattr(row, f"{kind}s").append(_medium(part, kind))


def _medium(part: Json, kind: str) -> str:
    """A content part's address. Only data URIs and web addresses: files of the server are not the client's."""
    value = part.get(part["type"], part.get(kind))
    if isinstance(value, dict):
        value = value.get("url") or f"data:audio/{value.get('format', 'wav')};base64,{value.get('data', '')}"
    if not isinstance(value, str) or not value.startswith(("data:", "http://", "https://")):
        raise SwiftError(f"messages: {part['type']} must be a data: URI or an http(s) address.")
    return value


class Written:
    """Writes the answers to one HTTP request: the same id, time and model in each of its parts."""

    def __init__(self, model: str, chat: bool):
        self.chat = chat
        self.head: Json = {
            "id": f"{'chatcmpl' if chat else 'cmpl'}-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": model,
        }

    def whole(self, replies: list[Reply], prompts: int = 1) -> Json:
        """The body of an answer that is not streamed. prompts: how many of the replies have their own prompt."""
        name = "chat.completion" if self.chat else "text_completion"
        choices = [self._choice(index, reply) for index, reply in enumerate(replies)]
        return {**self.head, "object": name, "choices": choices, "usage": usage(replies, prompts)}

    def _choice(self, index: int, reply: Reply) -> Json:
        end = {"logprobs": None, "finish_reason": reply.finish_reason}
        if not self.chat:
            return {"index": index, "text": reply.text, **end}
        message: Json = {"role": "assistant", "content": reply.content or (None if reply.calls else "")}
        if reply.calls:
            message["tool_calls"] = tool_calls(reply.calls)
        return {"index": index, "message": message, **end}

    def opening(self, index: int) -> list[Json]:
        """The first chunk of a streamed choice."""
        return [self._chunk(index, {"role": "assistant", "content": ""})] if self.chat else []

    def piece(self, index: int, text: str) -> Json:
        """A chunk with a piece of text."""
        return self._chunk(index, {"content": text} if self.chat else text)

    def closing(self, index: int, reply: Reply) -> list[Json]:
        """The last chunks of a streamed choice: its calls, if any, and why it ended."""
        calls = tool_calls(reply.calls)
        numbered = [{"index": number, **call} for number, call in enumerate(calls)]
        first = [self._chunk(index, {"tool_calls": numbered})] if calls else []
        return [*first, self._chunk(index, {} if self.chat else "", reply.finish_reason)]

    def counted(self, replies: list[Reply], prompts: int) -> Json:
        """The chunk of `include_usage`, which has no choice."""
        return {**self.head, "object": self._stream_object(), "choices": [], "usage": usage(replies, prompts)}

    def _chunk(self, index: int, said: Any, finish_reason: str | None = None) -> Json:
        choice = {"index": index, "delta" if self.chat else "text": said, "logprobs": None}
        return {
            **self.head,
            "object": self._stream_object(),
            "choices": [{**choice, "finish_reason": finish_reason}],
        }

    def _stream_object(self) -> str:
        return "chat.completion.chunk" if self.chat else "text_completion"


def tool_calls(calls: list[Json]) -> list[Json]:
    """Calls in OpenAI's form: an id each, and the arguments as JSON text."""
    return [
        {
            "id": f"call_{uuid.uuid4().hex[:24]}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
        }
        for call in calls
    ]


def usage(replies: list[Reply], prompts: int) -> Json:
    """Token counts; several answers to one prompt count it once."""
    asked = sum(reply.prompt_tokens for reply in replies[:: max(1, len(replies) // prompts)])
    said = sum(reply.completion_tokens for reply in replies)
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def failure(message: str, code: str | None = None, kind: str = "invalid_request_error") -> Json:
    """An error in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def model_list(names: list[str], started: int) -> Json:
    """The body of GET /v1/models: the base model, then its adapters, each with its parent."""
    listed = [
        {"id": name, "object": "model", "created": started, "owned_by": "swift", "parent": names[0] if n else None}
        for n, name in enumerate(names)
    ]
    return {"object": "list", "data": listed}
