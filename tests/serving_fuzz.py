"""Requests that nobody should send: drawn from a seed, from small changes of good bodies down to raw bytes."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import dataclass, field
from typing import Any

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJg"
    "gg=="
)
USER = {"role": "user", "content": "hi there"}

GOOD: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        {"messages": [USER], "max_tokens": 2},
        {"messages": [USER], "max_tokens": 2, "stream": True, "stream_options": {"include_usage": True}},
        {"messages": [USER], "max_tokens": 2, "tools": [TOOL], "tool_choice": "auto", "n": 2, "stop": ["x"]},
        {
            "messages": [
                {"role": "system", "content": "s"},
                USER,
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "r"},
            ],
            "tools": [TOOL],
            "max_completion_tokens": 2,
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 5,
            "seed": 3,
        },
        {
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": "a"},
                        {"type": "image_url", "image_url": {"url": PIXEL}},
                        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    ],
                }
            ],
            "max_tokens": 1,
        },
    ],
    "/v1/completions": [
        {"prompt": "hi", "max_tokens": 2},
        {"prompt": ["hi", "you"], "max_tokens": 2, "n": 2, "stream": True},
        {"prompt": [1, 2, 3], "max_tokens": 2, "repetition_penalty": 1.1},
        {"prompt": [[1, 2], [3]], "max_tokens": 1, "logit_bias": {}, "echo": False},
    ],
    "/v1/embeddings": [{"input": "a"}, {"input": ["a", "b"], "encoding_format": "base64", "dimensions": 2}],
    "/v1/rerank": [{"query": "a", "documents": ["b", "c"], "top_n": 1}],
    "/v1/score": [{"text_1": "a", "text_2": ["b", "c"]}],
    "/v1/responses": [{"input": "a", "max_output_tokens": 2}, {"input": [USER], "instructions": "i", "stream": True}],
    "/v1/messages": [
        {"model": "m", "messages": [USER], "max_tokens": 2},
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}], "max_tokens": 1,
         "system": "s", "tools": [{"name": "f", "input_schema": {"type": "object"}}], "stream": True},
    ],
    "/tokenize": [{"prompt": "a"}, {"messages": [USER]}],
    "/detokenize": [{"tokens": [1, 2]}],
}  # fmt: skip
"""Path → bodies that are in order."""

ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63), 10**400, 1e308, -0.5, 1e-320, "", " ", "x", "\x00", "\ud800",
    "\u202e", "<image>", "<|im_end|>", "NaN", "5", [], {}, [[]], [{}], {"": None}, [None], "a" * 3000, [1] * 3000,
    {"role": "user"}, {"type": "text"}, {"url": "http://127.0.0.1:1/"}, "http://127.0.0.1:1/", "file:///etc/passwd",
    "data:image/png;base64,", "data:,", "🦥" * 50, {"a": {"a": {"a": {}}}}, float("nan"), float("inf"),
    ["\ud800"], [999_999], [-1], ["a", 1], {"type": "json_object"}, "auto", "required",
]  # fmt: skip
"""Values put in the place of others."""

NAMES = (
    "model", "n", "logprobs", "top_logprobs", "echo", "suffix", "best_of", "logit_bias", "response_format", "stop",
    "tools", "tool_choice", "seed", "stream", "max_tokens", "min_p", "min_tokens", "user", "metadata", "modalities",
    "chat_template_kwargs", "reasoning_effort", "functions", "function_call", "nonsense", "__class__", "model_config",
    "stop_token_ids", "ignore_eos", "frequency_penalty", "presence_penalty", "messages", "prompt",
    "parallel_tool_calls", "thinking", "dimensions",
)  # fmt: skip
"""Fields put in."""

METHODS = ("GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "POST", "TRACE")
PATHS = ("/", "/health", "/v1", "/v1/models", "/v1/models/x", "/v1/models/%ff", "/v1/models/..%2f..", "/v1//models",
         "/openapi.json", "/docs", "/metrics", "/%00", "/v1/chat/completions/",
         "/" + "a" * 5000, "/?a=b", "/v1/models?x=%zz")  # fmt: skip

RAW = (
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /health HTTP/9.9\r\nHost: a\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}",
    b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"\x00" * 100,
)


@dataclass
class Shot:
    """One request: a body to a path, or bytes as they are."""

    method: str = "POST"
    path: str = "/"
    content: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None


def shots(seed: int, count: int) -> list[Shot]:
    """`count` requests, the same for the same seed."""
    return [_shot(random.Random(f"{seed}-{number}")) for number in range(count)]


def _shot(draw: random.Random) -> Shot:
    sort = draw.random()
    if sort < 0.07:
        return Shot(raw=_bytes(draw))
    if sort < 0.15:
        return Shot(draw.choice(METHODS), draw.choice([*PATHS, *GOOD]), b"{}", {"content-type": "application/json"})
    path = draw.choice([*GOOD, *["/v1/chat/completions"] * 4, *["/v1/completions"] * 2])
    body = copy.deepcopy(draw.choice(GOOD[path]))
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        body = _changed(body, draw)
    content = json.dumps(body).encode()
    if draw.random() < 0.05:
        content = _broken(content, draw)
    kind = (
        "application/json" if draw.random() < 0.97 else draw.choice(("text/plain", "application/json; charset=x", ""))
    )
    return Shot("POST", path, content, {"content-type": kind})


def _bytes(draw: random.Random) -> bytes:
    text = bytearray(draw.choice(RAW))
    for _ in range(draw.choice((0, 0, 1, 3))):
        text[draw.randrange(len(text))] = draw.randrange(256)
    return bytes(text[: draw.randrange(len(text)) + 1] if draw.random() < 0.3 else text)


def _broken(content: bytes, draw: random.Random) -> bytes:
    cut = draw.randrange(len(content) + 1)
    return draw.choice((content[:cut], content[:cut] + bytes([draw.randrange(256)]) + content[cut:], b"[" * 20_000))


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The places of all values inside a body."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inside for place in [(*here, key), *_places(one, (*here, key))]]


def _changed(body: Any, draw: random.Random) -> Any:
    """The body with one change: a value replaced, dropped or doubled, or a field put in."""
    places = _places(body)
    sort = draw.random()
    if sort < 0.25 and isinstance(body, dict):
        return body | {draw.choice(NAMES): draw.choice(ODD)}
    if not places or sort > 0.99:
        return draw.choice(ODD)
    *way, key = draw.choice(places)
    holder = body
    for step in way:
        holder = holder[step]
    if sort < 0.4:
        del holder[key]
    elif sort < 0.5 and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[key]))
    else:
        holder[key] = copy.deepcopy(draw.choice(ODD))
    return body
