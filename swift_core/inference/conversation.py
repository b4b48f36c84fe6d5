"""Between a row and an engine: what is asked, and what becomes of the words that come back."""

from __future__ import annotations

import queue
import sys
import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.engine import Engine, Reply, Request
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row, check_row

if TYPE_CHECKING:
    from swift_core.contract.job import Job


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
