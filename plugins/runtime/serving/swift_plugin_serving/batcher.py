"""Requests that arrive one by one, answered together: dynamic batching in front of any engine."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import monotonic

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Engine, Reply, Request
from swift_core.contract.errors import SwiftError

GATHER_SECONDS = 0.005
"""How long the first request of a batch waits for company. Those that come later wait for the next batch."""


@dataclass
class Pending:
    """A request on its way. heard: told each piece of the answer; False from it ends the answer early."""

    request: Request
    heard: Callable[[str], bool] | None
    future: Future[Reply] = field(default_factory=Future)


class Batcher:
    """Answers submitted requests, at most `max_batch_size` at a time, until it is closed.

    One thread calls the engine with whole batches; an engine that batches for itself is called at once.
    """

    def __init__(self, engine: Engine, max_batch_size: int = 8):
        self.engine, self.size = engine, max_batch_size
        self.queue: queue.Queue[Pending | None] = queue.Queue()
        self.closed = threading.Event()
        self.at_once = declared(engine, EngineTraits, "batches_itself")
        self.pool = ThreadPoolExecutor(128 if self.at_once else 1, thread_name_prefix="engine")
        if not self.at_once:
            self.pool.submit(self._work)

    def submit(self, request: Request, heard: Callable[[str], bool] | None = None) -> Future[Reply]:
        """The reply to come; a SwiftError of the engine about this request is the future's exception."""
        pending = Pending(request, heard)
        if self.closed.is_set():
            pending.future.set_exception(SwiftError("The server is shutting down."))
        elif self.at_once:
            self.pool.submit(self._answer, [pending])
        else:
            self.queue.put(pending)
        return pending.future

    def close(self) -> None:
        """End the answers under way where they are, refuse what waits, and stop the threads."""
        self.closed.set()
        self.queue.put(None)
        self.pool.shutdown()

    def _work(self) -> None:
        while (first := self.queue.get()) is not None:
            self._answer(self._with_company(first))
        while not self.queue.empty():
            if left := self.queue.get():
                left.future.set_exception(SwiftError("The server is shutting down."))

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
                pending.future.set_exception(error)
        else:
            for pending, reply in zip(batch, replies, strict=True):
                pending.future.set_result(reply)

    def _apart(self, batch: list[Pending], error: SwiftError) -> None:
        """One bad request must not fail its neighbours: each half is asked by itself, down to single ones."""
        if len(batch) == 1:
            batch[0].future.set_exception(error)
            return
        middle = len(batch) // 2
        self._answer(batch[:middle])
        self._answer(batch[middle:])
