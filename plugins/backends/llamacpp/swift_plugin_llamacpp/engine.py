"""An engine over llama.cpp's server in this process, which batches whatever arrives."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Generator
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

from swift_core import SwiftError
from swift_core.contract.engine import Heard, Listener, Reply, Request
from swift_core.contract.job import Job
from swift_core.inference.conversation import check_adapter, prompt_ids, room, streamed
from swift_core.inference.ending import Writer, ending_of, reply_of, writer_of

SEEDS = 2**32 - 1
"""llama.cpp takes seeds below this number; the number itself stands for a fresh one."""


class LlamaCppEngine:
    """A loaded GGUF file that answers; any number of threads may ask at once.

    server: xllamacpp's. models: the base model's name, then the adapters' in the server's order. window: most tokens
    of prompt and answer together. slots: answers at a time.
    """

    batches_itself = True
    admits = True

    def __init__(self, job: Job, server: Any, processor: Any, models: list[str], window: int, slots: int):
        self.job, self.server, self.processor, self.models, self.window = job, server, processor, models, window
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.ending = ending_of(job, self.tokenizer)
        self.bytes = ByteTokens(self.tokenizer)
        self.encoding = threading.Lock()
        self.pool = ThreadPoolExecutor(slots, thread_name_prefix="llama.cpp")
        self.open: set[Future[Reply]] = set()

    # -- asking ---------------------------------------------------------------------------------------------
    def submit(self, request: Request, heard: Heard | None = None) -> Future[Reply]:
        """The reply to come; cancelling the future ends the answer between two tokens.

        heard: told each piece; False from it ends the answer. What is wrong with the request is the future's exception.
        """
        future: Future[Reply] = Future()
        try:
            self._start(future, request, *self._asked(request), heard)
        except Exception as error:
            future.set_exception(error)
        return future

    def generate(self, requests: list[Request], listen: Listener | None = None) -> list[Reply]:
        """Answers in order; SwiftError before any if one cannot be asked."""
        asked = [self._asked(request) for request in requests]
        futures: list[Future[Reply]] = [Future() for _ in requests]
        try:
            for place, request in enumerate(requests):
                heard = partial(listen, place) if listen else None
                self._start(futures[place], request, *asked[place], heard)
            return [future.result() for future in futures]
        finally:
            for future in futures:
                future.cancel()

    def stream(self, request: Request) -> Generator[str, None, Reply]:
        """Pieces of one answer; joined they are what `generate` gives. Closing it ends the answer."""
        return streamed(partial(self.submit, request))

    def close(self) -> None:
        """End what is being answered, and let go of the model."""
        for future in list(self.open):
            with suppress(InvalidStateError):  # it was answered meanwhile
                future.set_exception(SwiftError("The engine was closed."))
        self.pool.shutdown(cancel_futures=True)
        self.server = None

    def _start(self, future: Future[Reply], request: Request, ids: list[int], limit: int, heard: Heard | None) -> None:
        self.open.add(future)
        future.add_done_callback(self.open.discard)
        self.pool.submit(self._work, future, request, ids, limit, heard)

    def _asked(self, request: Request) -> tuple[list[int], int]:
        """(the prompt's ids, the most tokens of the answer). SwiftError where it cannot be asked."""
        check_adapter(request, self.models[1:])
        if request.sampling.ignore_eos:
            raise SwiftError(f"{request.where}: llama.cpp ends an answer at the model's own end; leave ignore_eos out.")
        with self.encoding:  # a tokenizer serves one thread at a time
            ids = prompt_ids(self.job, self.processor, request)
        return self._known(request, ids), room(request, len(ids), self.window)

    def _known(self, request: Request, ids: list[int]) -> list[int]:
        """The same ids; SwiftError where one of them, or of the sampling, is none of the model's."""
        how = request.sampling
        named = [*ids, *how.stop_ids, *how.banned, *(token for token, _ in how.logit_bias)]
        strange = next((token for token in named if not 0 <= token < len(self.tokenizer)), None)
        if strange is not None:
            raise SwiftError(
                f"{request.where}: its tokenizer knows ids from 0 to {len(self.tokenizer) - 1}, not {strange}."
            )
        return ids

    # -- answering: in a thread of the pool -------------------------------------------------------------------
    def _work(self, future: Future[Reply], request: Request, ids: list[int], limit: int, heard: Heard | None) -> None:
        if future.done():
            return
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                answer = _Answer(self, request, heard, future)
                answer.ask(ids, limit)
                future.set_result(answer.reply(len(ids)))
            except Exception as error:
                future.set_exception(error)

    def body(self, request: Request, ids: list[int], limit: int) -> dict[str, Any]:
        """The request as llama.cpp takes it. Stop words stay here: they may be cut out of the middle of a token."""
        how = request.sampling
        seed = secrets.randbelow(SEEDS) if how.seed is None else how.seed % SEEDS
        biases = [[token, value] for token, value in how.logit_bias] + [[token, False] for token in how.banned]
        names = self.models[1:]
        scales = [{"id": place, "scale": float(name == request.adapter)} for place, name in enumerate(names)]
        return {
            "prompt": ids,
            "stream": True,
            "max_tokens": limit,
            "logprobs": 1,  # the only way to hear which tokens they are
            "timings_per_token": True,
            "samplers": ["penalties", "temperature", "min_p", "top_k", "top_p"],
            "temperature": how.temperature,
            "top_p": how.top_p,
            "top_k": how.top_k,
            "min_p": how.min_p,
            "repeat_penalty": how.repetition_penalty,
            "repeat_last_n": self.window,
            "logit_bias": biases,
            "seed": seed,
            "lora": scales,
        }


class _Answer:
    """One answer in the making. future: done where nobody waits any more."""

    def __init__(self, engine: LlamaCppEngine, request: Request, heard: Heard | None, future: Future[Reply]):
        self.engine, self.request, self.heard, self.future = engine, request, heard, future
        # the limit is llama.cpp's to keep: what stands for a torn character may be more tokens than were drawn
        self.writer: Writer = writer_of(engine.job, engine.processor, request, engine.ending, 1 << 30)
        self.count, self.torn, self.left = 0, False, False
        self.error: Any = None

    def ask(self, ids: list[int], limit: int) -> None:
        """Until the answer ends. SwiftError where llama.cpp refuses."""
        self.engine.server.handle_completions(self.engine.body(self.request, ids, limit), self._take)
        if self.error is not None:
            raise SwiftError(f"{self.request.where}: llama.cpp refused: {self.error.get('message', self.error)}")
        self._tell()

    def reply(self, asked: int) -> Reply:
        """The finished answer. asked: tokens of the prompt."""
        writer, known = self.writer, [] if self.torn else self.writer.ids
        reason = writer.reason or "stop"  # the listener left
        text = writer.text
        return reply_of(self.engine.job, self.request, text, reason, (asked, self.count), known)

    def _take(self, chunk: dict[str, Any]) -> bool:
        """One chunk of the stream; True ends it."""
        if "error" in chunk:
            self.error = chunk["error"]
            return True
        for choice in chunk["choices"]:
            self._choice(choice, chunk.get("timings", {}).get("predicted_n", 0))
        self._tell()
        return bool(self.writer.reason) or self.left or self.future.done()

    def _choice(self, choice: dict[str, Any], count: int) -> None:
        pieces = (choice.get("logprobs") or {}).get("content") or []
        if choice["finish_reason"] is None and pieces:
            self._add(pieces, choice["text"], count)
        elif choice["finish_reason"] and not self.writer.reason:
            self.count = max(self.count, count)
            ended = choice["finish_reason"] == "stop"  # at an end of its own, which the template does not name
            self.writer.end("stop" if ended else "length", self.writer.ids[:-1] if ended else None)

    def _add(self, pieces: list[dict[str, Any]], text: str, count: int) -> None:
        """Take the new tokens. llama.cpp is silent about all but the last token of a character that is torn between
        several, so its bytes stand for them."""
        torn = count > self.count + len(pieces)
        self.count, self.torn = count, self.torn or torn
        for token in self.engine.bytes(text) if torn else [piece["id"] for piece in pieces]:
            if not self.writer.reason:
                self.writer.add(token)

    def _tell(self) -> None:
        piece = self.writer.piece()
        if piece and self.heard is not None and not self.left:
            self.left = not self.heard(piece)


class ByteTokens:
    """Text as tokens of one byte each, by a tokenizer that has one for each byte."""

    def __init__(self, tokenizer: Any):
        from transformers.convert_slow_tokenizer import bytes_to_unicode

        named = {byte: tokenizer.convert_tokens_to_ids(f"<0x{byte:02X}>") for byte in range(256)}
        letters = {byte: tokenizer.convert_tokens_to_ids(letter) for byte, letter in bytes_to_unicode().items()}
        unknown = (None, tokenizer.unk_token_id)
        self.ids = {byte: named[byte] if named[byte] not in unknown else letters[byte] for byte in range(256)}

    def __call__(self, text: str) -> list[int]:
        return [self.ids[byte] for byte in text.encode()]
