"""What every inference backend speaks: a request, a reply, and the engine between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass
class Request:
    """One question.

    messages: OpenAI chat messages, media as in a dataset row. max_new_tokens: upper bound of the answer in
    tokens. temperature: 0 is greedy. top_k: 0 is off. seed: None draws a fresh one. adapter: the name of a
    loaded adapter, None for the base model. logprobs: how many alternatives to report, None for none.
    prefix: text with which the answer must begin.
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)
    videos: list[Any] = field(default_factory=list)
    audios: list[Any] = field(default_factory=list)
    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    adapter: str | None = None


@dataclass
class Reply:
    """One answer. finish_reason: `stop`, `length` or `tool_calls`. calls: as `read_calls` returns them."""

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)


class Engine(Protocol):
    """A loaded model that answers."""

    models: list[str]
    """Names it answers to: the base model first, then its adapters."""

    def generate(self, requests: list[Request]) -> list[Reply]:
        """Answers in the order of the requests; batched where the backend can."""

    def stream(self, request: Request) -> Iterator[str]:
        """Pieces of the answer as they come; joined they are the answer's text."""

    def close(self) -> None:
        """Free the model, its memory and its processes."""
