"""What every inference backend speaks: a request, a reply, and the engine between them."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from swift_core.data.row import Row, check_row
from swift_core.errors import SwiftError

if TYPE_CHECKING:
    from swift_core.job import Job

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


def stream_one(engine: Engine, request: Request) -> Generator[str, None, Reply]:
    """`stream` made from `generate` and a listener; closing the generator ends the answer."""
    pieces: queue.Queue[str | None] = queue.Queue()
    left = threading.Event()

    def listen(_: int, piece: str) -> bool:
        pieces.put(piece)
        return not left.is_set()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(engine.generate, [request], listen)
        future.add_done_callback(lambda _: pieces.put(None))
        try:
            while (piece := pieces.get()) is not None:
                yield piece
        finally:
            left.set()
        return future.result()[0]


def ask(row: Row, options: Any, adapter: str | None = None, seed: int | None = None, whole: bool = False) -> Request:
    """The request for the answer that `row` lacks (its last assistant turn is left out).

    options: a job's `GenerationOptions`. adapter: who answers. seed: one per drawing, so that drawings differ.
    whole: leave that turn in, for an engine that scores answers.
    """
    row = row if whole else row.prompt()
    return Request(
        messages=row.messages,
        tools=row.tools,
        images=row.images,
        videos=row.videos,
        audios=row.audios,
        objects=row.objects,
        adapter=adapter,
        seed=seed,
        where=row.where,
        **sampling(options),
    )


def sampling(options: Any) -> dict[str, Any]:
    """A job's generation options as fields of a request."""
    names = ("max_new_tokens", "temperature", "top_p", "top_k", "repetition_penalty")
    return {**{name: getattr(options, name) for name in names}, "stop": list(options.stop_words)}


def first_adapter(engine: Engine) -> str | None:
    """Who answers when nobody says: the first adapter, or the base model where there is none."""
    return engine.models[1] if len(engine.models) > 1 else None


def served_name(options: Any) -> str:
    """The base model's name in the interface: what the user calls it, its hub id, or its folder's name."""
    given = getattr(options, "served_model_name", None)
    model = str(options.model)
    return given or (Path(model).resolve().name if Path(model).is_dir() else model)


def askable(request: Request) -> Row:
    """The request's conversation as a row; SwiftError where it is unsound or there is nothing to answer."""
    row = check_row(request.row())
    last = row.messages[-1]["role"]
    if last not in ("user", "tool"):
        raise SwiftError(f"{row.where}: the last message is the {last}'s, not the user's.")
    return row


def room(request: Request, prompt_tokens: int, window: int) -> int:
    """How many tokens the answer may have: what is asked for, or what the window leaves.

    window: most tokens of prompt and answer together. SwiftError where the prompt is empty or leaves none.
    """
    if not prompt_tokens:
        raise SwiftError(f"{request.where}: the prompt is empty.")
    if prompt_tokens >= window:
        raise SwiftError(
            f"{request.where}: the prompt has {prompt_tokens} tokens, but prompt and answer together may have "
            f"{window}. Shorten the prompt."
        )
    return min(request.max_new_tokens, window - prompt_tokens)


def window_of(job: Job, config: Any) -> int:
    """Most tokens of prompt and answer together: the model's positions, or less if --max_length says so.

    config: the model's transformers config.
    """
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(positions or sys.maxsize, job.options.max_length or sys.maxsize)


def reply_of(job: Job, request: Request, text: str, finish_reason: str, tokens: tuple[int, int]) -> Reply:
    """The reply for a finished text; where the request has tools, with the calls that the text makes.

    tokens: of the prompt and of the answer.
    """
    calls = job.hook.read_calls(job=job, text=text) if request.tools else []
    if not calls:
        return Reply(text, finish_reason, *tokens)
    return Reply(text, "tool_calls", *tokens, calls, _before_calls(job, text, calls))


def _before_calls(job: Job, text: str, calls: list[Any]) -> str:
    """What stands before the first call: the longest start of `text` without which all calls are still read.

    Holds for any agent format, because a call is read from its own start on.
    """
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        same = job.hook.read_calls(job=job, text=text[middle:]) == calls
        low, high = (middle, high) if same else (low, middle - 1)
    return text[:low].rstrip()


def stops_of(job: Job, request: Request) -> list[str]:
    """The request's own stop words and, where tool results go on inside the answer, the word that opens them.

    Such a format (ReAct's `Observation:`) has no end marker after a call: the model would invent the result.
    """
    stops = [word for word in request.stop if word]
    if request.tools and job.hook.write_results(job=job, results=[""], calls=[])[1]:
        written = job.hook.write_calls(job=job, calls=[{"name": "f", "arguments": {}}])
        opener = written.rpartition("}")[2].strip()
        stops += [opener] if opener else []
    return stops
