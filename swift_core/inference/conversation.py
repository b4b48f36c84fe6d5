"""Between a row and an engine: what is asked, and what becomes of the words that come back."""

from __future__ import annotations

import itertools
import queue
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import SAMPLING_FIELDS, AdmittingEngine, Engine, Heard, Reply, Request, Sampling
from swift_core.contract.errors import SwiftError, TooLong
from swift_core.contract.row import Row, check_asked
from swift_core.data.load import batches
from swift_core.job.options import fields_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job


def stream_one(engine: Engine, request: Request) -> Generator[str, None, Reply]:
    """`stream` made from `generate` and a listener; closing the generator ends the answer."""

    def submit(heard: Heard) -> Future[Reply]:
        return pool.submit(lambda: engine.generate([request], lambda _, piece: heard(piece))[0])

    with ThreadPoolExecutor(1) as pool:
        return (yield from streamed(submit))


def streamed(submit: Callable[[Heard], Future[Reply]]) -> Generator[str, None, Reply]:
    """The pieces that the listener given to `submit` hears, then the reply; closing the generator ends the answer."""
    pieces: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    left = threading.Event()

    def heard(piece: str) -> bool:
        pieces.put(piece)
        return not left.is_set()

    future = submit(heard)
    future.add_done_callback(lambda _: pieces.put(None))
    try:
        while (piece := pieces.get()) is not None:
            yield piece
    finally:
        left.set()
        future.cancel()
    return future.result()


def answers(engine: Engine, requests: list[Request], size: int) -> Generator[Reply, None, None]:
    """Replies in order, each as soon as it and those before it are there. Leaving off ends the answers under way.

    size: how many requests are answered together. An engine that admits between tokens is told of those to come.
    """
    if declared(engine, EngineTraits, "admits"):
        yield from _admitted(cast("AdmittingEngine", engine), requests, 4 * size)
        return
    for part in batches(requests, size * (16 if declared(engine, EngineTraits, "batches_itself") else 1)):
        yield from engine.generate(part)


def _admitted(engine: AdmittingEngine, requests: Sequence[Request], ahead: int) -> Generator[Reply, None, None]:
    """ahead: how many are asked before the first of them is answered."""
    futures: deque[Future[Reply]] = deque()
    left = iter(requests)
    try:
        while True:
            futures.extend(engine.submit(request) for request in itertools.islice(left, ahead - len(futures)))
            if not futures:
                return
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()


def ask(row: Row, options: Any, adapter: str | None = None, seed: int | None = None, whole: bool = False) -> Request:
    """The request for the answer that `row` lacks (its last assistant turn is left out).

    options: a job's `GenerationOptions`. adapter: who answers. seed: one per drawing, so that drawings differ.
    whole: leave that turn in, for an engine that scores answers.
    """
    return Request(row if whole else row.prompt(), sampling(options, seed=seed), adapter)


NAMES = {"max_completion_length": "max_new_tokens", "stop_words": "stop"}
"""Options whose name differs from their field in `Sampling`."""


def sampling(options: Any, **more: Any) -> Sampling:
    """How answers are drawn, as options say it: a job's `GenerationOptions`, or those of a method with rollouts.

    more: fields of `Sampling` that are no option. `--seed` is none: it is the seed of the job, not of one answer.
    """
    names = {NAMES.get(name, name): name for name in fields_of(type(options)) if name != "seed"}
    said = {field: getattr(options, names[field]) for field in SAMPLING_FIELDS & set(names)}
    return Sampling(**{**said, "stop": tuple(said.get("stop", ())), **more})


def first_adapter(engine: Engine) -> str | None:
    """Who answers when nobody says: the first adapter, or the base model where there is none."""
    return engine.models[1] if len(engine.models) > 1 else None


def served_name(options: Any) -> str:
    """The base model's name in the interface: what the user calls it, its hub id, or its folder's name."""
    given = getattr(options, "served_model_name", None)
    model = str(options.model)
    return given or (Path(model).resolve().name if Path(model).is_dir() else model)


TO_COME = {"role": "assistant", "content": ""}
"""Stands for the answer that is asked for, behind an answer that is part of the question."""


def askable(request: Request) -> Row:
    """The request's conversation as a row whose answer is to come; SwiftError where it is unsound.

    Any turn may be the last one: an answer at the end is closed, and another one is asked for, as vLLM does.
    """
    row = check_asked(request.row)
    answered = row.messages[-1]["role"] == "assistant"
    return row.with_messages([*row.messages, TO_COME]) if answered else row


OPTIONAL = frozenset(
    {"presence_penalty", "frequency_penalty", "min_new_tokens", "logprobs", "prompt_logprobs", "guide"}
)
"""Fields of `Sampling` that an engine need not know; `EngineTraits.obeys` names those that it does."""


def ignored(engine: Engine, sampling: Sampling) -> list[str]:
    """Fields of a sampling that say something and that the engine would ignore."""
    obeyed, plain = declared(engine, EngineTraits, "obeys"), Sampling()
    return [name for name in sorted(OPTIONAL - obeyed) if getattr(sampling, name) != getattr(plain, name)]


def room(request: Request, prompt_tokens: int, window: int) -> int:
    """How many tokens the answer may have: what is asked for, or what the window leaves.

    window: most tokens of prompt and answer together. Raises SwiftError for an empty prompt, TooLong for one that
    leaves none.
    """
    if not prompt_tokens:
        raise SwiftError(f"{request.where}: the prompt is empty.")
    if prompt_tokens + min(1, request.sampling.max_new_tokens) > window:
        raise TooLong(
            f"{request.where}: the prompt has {prompt_tokens} tokens, but prompt and answer together may have "
            f"{window}. Shorten the prompt."
        )
    return min(request.sampling.max_new_tokens, window - prompt_tokens)


def window_of(job: Job, config: Any) -> int:
    """Most tokens of prompt and answer together: the model's positions, or less if --max_length says so.

    config: the model's transformers config.
    """
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return min(positions or sys.maxsize, job.options.max_length or sys.maxsize)


def check_adapter(request: Request, adapters: Sequence[str]) -> None:
    """SwiftError where the request names an adapter that is none of `adapters`."""
    if request.adapter is not None and request.adapter not in adapters:
        known = ", ".join(adapters) or "none"
        raise SwiftError(f"{request.where}: there is no adapter {request.adapter!r}. Loaded are: {known}.")


def prompt_ids(job: Job, processor: Any, request: Request) -> list[int]:
    """The token ids of a request's prompt, [tokens]: as given, of its text, or of its conversation."""
    prompt = request.prompt
    if isinstance(prompt, str):
        prompt = getattr(processor, "tokenizer", processor)(prompt)
    if prompt is None:
        (prompt,) = job.hook.encode(job=job, rows=[askable(request)], processor=processor, generation=True)
    return list(prompt if isinstance(prompt, list) else prompt["input_ids"])
