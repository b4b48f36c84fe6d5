"""Work on several processes that share what stood in memory when they began."""

from __future__ import annotations

import gc
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from swift_core import SwiftError


@contextmanager
def settled_heap() -> Iterator[None]:
    """Inside, Python's garbage collector leaves out what was there before, and looks at new objects alone.

    Each full look goes through a million objects of libraries and rows, none of which is garbage: a tenth of the time
    that encoding takes. Forked processes would copy each page that it touches. Whoever has frozen before keeps that;
    asking takes a walk of its own.
    """
    mine = not gc.get_freeze_count()
    if mine:
        gc.freeze()
    try:
        yield
    finally:
        if mine:
            gc.unfreeze()


def in_processes(
    work: Callable[[Iterable[Any]], Iterator[Any]], items: list[Any], counter: Any, processes: int
) -> Iterator[Any]:
    """What `work` yields for all items, in their order; each process works on every n-th of them.

    counter: an object whose `said()` of each process is handed to `add` of this one. A SwiftError of a process is
    raised here, and one that dies is one too.
    """
    count = min(processes, len(items))
    if count < 2:
        yield from work(items)
        return
    context = multiprocessing.get_context("fork")  # tokenizer, template and rows are there without being sent
    pipes, workers = [], []
    for number in range(count):
        here, there = context.Pipe(duplex=False)
        workers.append(context.Process(target=_serve, args=(there, work, items[number::count], counter), daemon=True))
        workers[-1].start()
        there.close()
        pipes.append(here)
    try:
        for number in range(len(items)):
            yield _received(pipes[number % count])
        for pipe in pipes:
            counter.add(_received(pipe))
    finally:
        for worker in workers:
            worker.terminate()


def _serve(pipe: Any, work: Any, items: list[Any], counter: Any) -> None:
    try:
        for made in work(items):
            pipe.send((made, None))
        pipe.send((counter.said(), None))
    except SwiftError as error:
        pipe.send((None, str(error)))


def _received(pipe: Any) -> Any:
    try:
        made, wrong = pipe.recv()
    except EOFError:
        raise SwiftError("A process that encoded rows died. Say --dataset_num_proc 1 to see why.") from None
    if wrong is not None:
        raise SwiftError(wrong)
    return made
