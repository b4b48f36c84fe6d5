"""Requests that arrive one by one: handed to an engine that admits them between tokens, or gathered into batches."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import cast

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import AdmittingEngine, Engine, Reply, Request
from swift_core.contract.errors import SwiftError

GATHER_SECONDS = 0.005
"""How long the first request of a batch waits for company. Those that come later wait for the next batch."""


@dataclass
class Pending:
    """A request on its way. heard: told each piece of the answer; False from it ends the answer early.

    begun: whether there is a piece of the answer of an engine that admits between tokens.
    """

    request: Request
    heard: Callable[[str], bool] | None
    future: Future[Reply] = field(default_factory=Future)
    begun: bool = False

    def settle(self, reply: Reply | None, error: BaseException | None) -> None:
        """Hand over the reply or the error, unless nobody waits any more."""
        with suppress(InvalidStateError):
            if error is None and reply is not None:
                self.future.set_result(reply)
            else:
                self.future.set_exception(error or RuntimeError("The engine gave no reply."))

    def follow(self, answer: Future[Reply]) -> None:
        """Become what the engine's future becomes; cancelled, cancel it."""
        self.future.add_done_callback(lambda future: answer.cancel() if future.cancelled() else None)
        answer.add_done_callback(self._take)

    def _take(self, answer: Future[Reply]) -> None:
        if answer.cancelled():
            self.future.cancel()
        else:
            error = answer.exception()
            self.settle(None if error else answer.result(), error)


class Batcher:
    """Answers submitted requests, at most `max_batch_size` at a time, until it is closed.

    An engine that admits between tokens is handed every request, one that batches for itself is called at once; any
    other is called by one thread with whole batches.
    """

    def __init__(self, engine: Engine, max_batch_size: int = 8):
        self.engine, self.size = engine, max_batch_size
        self.queue: queue.Queue[Pending | None] = queue.Queue()
        self.closed = threading.Event()
        self.handed: dict[Future[Reply], Pending] = {}
        self.admits = declared(engine, EngineTraits, "admits")
        self.at_once = self.admits or declared(engine, EngineTraits, "batches_itself")
        self.pool = ThreadPoolExecutor(128 if self.at_once else 1, thread_name_prefix="engine")
        if not self.at_once:
            self.pool.submit(self._work)

    def submit(self, request: Request, heard: Callable[[str], bool] | None = None) -> Future[Reply]:
        """The reply to come; a SwiftError of the engine about this request is the future's exception."""
        pending = Pending(request, heard)
        if self.closed.is_set():
            pending.settle(None, SwiftError("The server is shutting down."))
        elif self.at_once:
            self.pool.submit(self._hand_over if self.admits else self._answer, [pending])
        else:
            self.queue.put(pending)
        return pending.future

    def close(self) -> None:
        """End the answers under way where they are, refuse what waits, and stop the threads."""
        self.closed.set()
        self.queue.put(None)
        self.pool.shutdown()
        for answer, pending in list(self.handed.items()):
            if not pending.begun:
                pending.settle(None, SwiftError("The server is shutting down."))
                answer.cancel()
        wait(list(self.handed))

    def _hand_over(self, batch: list[Pending]) -> None:
        """Encode the request in this thread, and let the engine answer it."""
        (pending,) = batch

        def heard(piece: str) -> bool:
            pending.begun = True
            return (pending.heard is None or pending.heard(piece)) and not self.closed.is_set()

        answer = cast("AdmittingEngine", self.engine).submit(pending.request, heard)
        self.handed[answer] = pending
        answer.add_done_callback(lambda done: self.handed.pop(done, None))
        pending.follow(answer)

    def _work(self) -> None:
        while (first := self.queue.get()) is not None:
            self._answer(self._with_company(first))
        while not self.queue.empty():
            if left := self.queue.get():
                left.settle(None, SwiftError("The server is shutting down."))

    def _with_company(self, first: Pending) -> list[Pending]:
        batch, until = [first], monotonic() + GATHER_SECONDS
        while len(batch) < self.size:
            try:
                pending = self.queue.get(timeout=max(0.0, until - monotonic()))
            except queue.Empty:
                break
            if pending is None:
                self.queue.put(None)  # closing: seen again after this batch
                break
            batch.append(pending)
        return batch

    def _answer(self, batch: list[Pending]) -> None:
        def listen(place: int, piece: str) -> bool:
            heard = batch[place].heard
            return (heard is None or heard(piece)) and not self.closed.is_set()

        try:
            replies = self.engine.generate([pending.request for pending in batch], listen)
        except SwiftError as error:
            self._apart(batch, error)
        except Exception as error:  # a bug of the engine must answer its clients, not end the thread
            for pending in batch:
                pending.settle(None, error)
        else:
            for pending, reply in zip(batch, replies, strict=True):
                pending.settle(reply, None)

    def _apart(self, batch: list[Pending], error: SwiftError) -> None:
        """One bad request must not fail its neighbours: each half is asked by itself, down to single ones."""
        if len(batch) == 1:
            batch[0].settle(None, error)
            return
        middle = len(batch) // 2
        self._answer(batch[:middle])
        self._answer(batch[middle:])
