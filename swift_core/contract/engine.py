"""What every inference backend speaks: a request, a reply, and the engine between them."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Protocol

from swift_core.contract.row import Row

Listener = Callable[[int, str], bool]
"""Called with a request's place in its batch and a new piece of its answer; False ends that answer early."""


@dataclass
class Request:
    """One question.

    messages: a conversation as in `Row.messages`, media as in a row; the last turn is not the assistant's.
    prompt: text or token ids to go on from instead, without any template. objects: boxes that the
    conversation mentions, as in a row. max_new_tokens: upper bound of the answer in tokens. temperature: 0
    is greedy. top_k: 0 is off. stop: texts that end the answer, besides the template's own. seed: None draws
    a fresh one. adapter: the name of a loaded adapter, None for the base model. where: named in errors.
    """

    messages: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    images: list[Any] = field(default_factory=list)
    videos: list[Any] = field(default_factory=list)
    audios: list[Any] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)
    prompt: str | list[int] | None = None
    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    stop: list[str] = field(default_factory=list)
    seed: int | None = None
    adapter: str | None = None
    where: str = "the request"

    def row(self) -> Row:
        """The conversation as a row, for the job's `encode`."""
        return Row(
            self.messages,
            self.images,
            self.videos,
            self.audios,
            tools=self.tools,
            objects=self.objects,
            where=self.where,
        )


@dataclass
class Reply:
    """One answer. finish_reason: `stop`, `length` or `tool_calls`. calls: as `read_calls` returns them.

    text: all that the model said. content: what it said before its first call; without calls, the text.
    Tokens are counted with the one that ended the answer.
    """

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)
    content: str = ""

    def __post_init__(self) -> None:
        if not self.calls:
            self.content = self.text


class Engine(Protocol):
    """A loaded model that answers.

    An engine whose `generate` may be called by several threads at once, because it batches for itself, says
    so with an attribute `batches_itself = True`; else the server lets one thread call it, with whole batches.
    """

    models: list[str]
    """Names it answers to: the base model first, then its adapters."""

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in the order of the requests; batched where the backend can.

        `listen` hears every piece as it comes. A SwiftError about a request is raised before any piece.
        """

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of the answer as they come; joined they are the reply's text. Returns the reply."""

    def close(self) -> None:
        """Free the model, its memory and its processes."""


class RolloutEngine(Protocol):
    """A server that draws answers with the policy under training, and says of each which weights drew it."""

    address: dict[str, str]
    """How other processes of the run reach it."""

    def follow(self, folder: str, version: str) -> None:
        """Draw from now on with the policy saved in `folder`, and call it `version`."""

    def draw(self, prompts: list[list[int]], version: str, how: dict[str, Any]) -> list[list[int]]:
        """Token ids of one answer to each prompt, with the one that ends it.

        how: max_new_tokens, temperature, top_p, top_k (0: off); `ends`, the ids that end an answer; `banned`, ids
        never drawn; `seed`, from which each answer has one of its own. SwiftError where other weights than those of
        `version` drew an answer.
        """

    def close(self) -> None:
        """Stop the server where this engine started it."""


class Server(Protocol):
    """A server with its port taken; `with server:` gives the port back in the end."""

    def __enter__(self) -> Server: ...

    def __exit__(self, *error: Any) -> None: ...

    def serve(self, engine: Engine) -> None:
        """Answer requests with `engine` until SIGINT or SIGTERM. The engine stays open."""
