"""Answers on their way from the engine's threads to clients, whole or piece by piece."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, cast

from swift_core.contract.engine import Piece as Said
from swift_core.contract.engine import Reply, Request, Token
from swift_plugin_serving.errors import failed
from swift_plugin_serving.gate import Left, Visit, awaited
from swift_plugin_serving.thoughts import Marks, Piece

Submit = Callable[[Request, Callable[[str], bool] | None], "Future[Reply]"]
Item = tuple[int, str | Reply | BaseException]


class Form(Protocol):
    """How the chunks of one interface look; each is an event of the stream."""

    def opening(self, index: int) -> list[Any]:
        """What stands before the first piece of an answer."""

    def piece(self, index: int, text: str) -> list[Any]:
        """A piece of an answer."""

    def thought(self, index: int, text: str) -> list[Any]:
        """A piece of the thoughts before an answer."""

    def closing(self, index: int, reply: Reply, told: bool) -> list[Any]:
        """What follows the last piece. told: whether the text went out in pieces."""

    def end(self, replies: list[Reply]) -> list[Any]:
        """What follows the last answer."""

    def broken(self, error: Any) -> list[Any]:
        """What follows where no answer does. error: the body of a failure."""

    def event(self, chunk: Any) -> str:
        """A chunk as a server-sent event."""


class LikelyForm(Form, Protocol):
    """A form that tells how likely tokens were."""

    def tokens(self, index: int, tokens: Sequence[Token]) -> None:
        """Tokens that belong to the next piece."""


async def replies_to(visit: Visit, submit: Submit, requests: list[Request], marks: Marks | None = None) -> list[Reply]:
    """All replies, in order. As soon as the client leaves or one fails, the others end early.

    marks: those of thoughts, which then stand by themselves.
    """
    futures = [visit.follow(submit(request, partial(_stays, visit))) for request in requests]
    replies = await visit.during(asyncio.gather(*(awaited(future, visit.loop) for future in futures)))
    return [marks.apart(reply) for reply in replies] if marks else list(replies)


def _stays(visit: Visit, _: str) -> bool:
    return not visit.left.is_set()


class Stream:
    """The pieces of one or more answers, in the order in which they come.

    silent: say nothing before an answer is whole (with tools only the whole text tells whether it is a call).
    marks: those of thoughts, which then go out by themselves.
    """

    def __init__(
        self,
        visit: Visit,
        submit: Submit,
        requests: list[Request],
        form: Form,
        silent: bool = False,
        marks: Marks | None = None,
    ):
        self.visit, self.form, self.silent, self.many = visit, form, silent, len(requests)
        self.marks, self.splitters = marks, [marks.splitter() for _ in requests] if marks else []
        self.queue: asyncio.Queue[Item] = asyncio.Queue()
        for index, request in enumerate(requests):
            future = visit.follow(submit(request, partial(self._heard, index)))
            future.add_done_callback(partial(self._ended, index))

    def _heard(self, index: int, piece: str) -> bool:
        if not self.silent:
            self._put(index, piece)
        return not self.visit.left.is_set()

    def _ended(self, index: int, future: Future[Reply]) -> None:
        if not future.cancelled():
            self._put(index, future.exception() or future.result())

    def _put(self, index: int, item: str | Reply | BaseException) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody reads any more
            self.visit.loop.call_soon_threadsafe(self.queue.put_nowait, (index, item))

    async def first(self) -> Item:
        """The first thing that comes. An error is raised, because it can still have a status of its own."""
        item = await self.visit.during(self.queue.get())
        if isinstance(item[1], BaseException):
            raise item[1]
        return item

    async def events(self, item: Item) -> AsyncIterator[str]:
        """Server-sent events to the end, from the first item on. A failure under way is an event, too."""
        try:
            async for chunk in self._chunks(item):
                yield self.form.event(chunk)
        except Left:
            return
        except Exception as error:
            for chunk in self.form.broken(failed(error)[1]):
                yield self.form.event(chunk)
        finally:
            self.visit.close()

    async def _chunks(self, item: Item) -> AsyncIterator[Any]:
        for index in range(self.many):
            for chunk in self.form.opening(index):
                yield chunk
        replies: dict[int, Reply] = {}
        while True:
            for chunk in self._chunks_of(*item, replies):
                yield chunk
            if len(replies) == self.many:
                break
            item = await self.visit.during(self.queue.get())
        for chunk in self.form.end([replies[n] for n in sorted(replies)]):
            yield chunk

    def _chunks_of(self, index: int, item: Any, replies: dict[int, Reply]) -> list[Any]:
        if isinstance(item, Said) and item.tokens:
            cast("LikelyForm", self.form).tokens(index, item.tokens)
        if isinstance(item, str):
            return self._said(index, self.splitters[index].add(item) if self.splitters else [("text", item)])
        if isinstance(item, BaseException):
            raise item
        replies[index] = item
        rest = self.splitters[index].end() if self.splitters and not self.silent else []
        reply = self.marks.apart(item) if self.marks else item
        return [*self._said(index, rest), *self.form.closing(index, reply, not self.silent)]

    def _said(self, index: int, pieces: list[Piece]) -> list[Any]:
        tell = {"thought": self.form.thought, "text": self.form.piece}
        return [chunk for kind, text in pieces for chunk in tell[kind](index, text)]


def event(chunk: Any) -> str:
    """A chunk as an event without a name; text as it is."""
    said = chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False)
    return f"data: {said}\n\n"
