"""Work in forked children: the libraries are imported once, and a family that hangs or crashes harms no other."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

from swift_core.system import end_group

TIME_LIMIT = 180.0
"""Seconds that one child may take."""


def each(
    work: Callable[[Any], dict[str, Any]], items: Iterable[Any], jobs: int
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(item, what `work` returned for it) as they finish; `{"failed": text}` for a child that died or hung.

    jobs: children at a time. A child's own output goes nowhere.
    """
    context = multiprocessing.get_context("fork")
    waiting = list(items)
    running: dict[Any, Any] = {}
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                item = waiting.pop(0)
                here, there = context.Pipe(duplex=False)
                child = context.Process(target=_work, args=(work, item, there), daemon=True)
                child.start()
                there.close()
                running[here] = item, child, time.monotonic() + TIME_LIMIT
            for pipe in _finished(running):
                item, child, _ = running.pop(pipe)
                yield item, _result(pipe, child)
    finally:
        for _, child, _ in running.values():
            _end(child)


def _work(work: Callable[[Any], dict[str, Any]], item: Any, pipe: Connection) -> None:
    os.setsid()  # so that processes the child starts end with it
    with (
        open(os.devnull, "w", encoding="utf-8") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        pipe.send(work(item))
    pipe.close()


def _finished(running: dict[Connection, Any]) -> list[Connection]:
    """Pipes with an answer, or whose child died or is over its time."""
    soonest = min(limit for _, _, limit in running.values())
    ready = wait(list(running), timeout=max(0.0, soonest - time.monotonic()))
    late = [pipe for pipe, (_, _, limit) in running.items() if time.monotonic() > limit]
    return [p for p in running if p in ready or p in late]


def _result(pipe: Connection, child: Any) -> dict[str, Any]:
    try:
        if not pipe.poll():
            return {"failed": f"took longer than {TIME_LIMIT:.0f} s"}
        return pipe.recv()
    except EOFError:
        child.join()
        return {"failed": f"the process ended with exit code {child.exitcode}"}
    finally:
        pipe.close()
        _end(child)


def _end(child: Any) -> None:
    with contextlib.suppress(PermissionError):
        end_group(child.pid, at_once=True)
    child.join()
