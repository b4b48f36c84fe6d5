"""Before a request reaches its route: the key, the size of the body, the time it takes to come, the end of the server.

Plain ASGI, because the decision must stand on what the router reads (`scope["path"]`) and on nothing that a client's
header can change, and because a wrapped response must not hide that its client has left.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable
from concurrent.futures import Future
from contextlib import suppress
from threading import Event
from typing import Any, TypeVar

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swift_plugin_serving.errors import failure

T = TypeVar("T")

OPEN = ("/health", "/ping")
"""Paths that need no key: whether the server lives."""


class Keys:
    """Lets those in who send one of the keys, as `Authorization: Bearer KEY` or `X-API-Key: KEY` (Anthropic's)."""

    def __init__(self, app: ASGIApp, keys: tuple[str, ...]):
        self.app, self.keys = app, [key.encode() for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 401 in OpenAI's form for everything but `OPEN`."""
        if scope["type"] != "http" or not self.keys or scope["path"] in OPEN or self._knows(scope):
            return await self.app(scope, receive, send)
        await _refusal(401, "Wrong or missing API key.", "invalid_api_key")(scope, receive, send)

    def _knows(self, scope: Scope) -> bool:
        given = [_key_in(name, value) for name, value in scope["headers"]]
        same = [secrets.compare_digest(key, one) for key in self.keys for one in given if one is not None]
        return any(same)  # all are compared, so that the time tells nothing


def _key_in(name: bytes, value: bytes) -> bytes | None:
    """The key that a header brings; None for other headers."""
    if name == b"x-api-key":
        return value.strip()
    if name != b"authorization":
        return None
    scheme, _, key = value.strip().partition(b" ")
    return key.strip() if scheme.lower() == b"bearer" else None


class Bodies:
    """Reads a body whole before its route starts: at most so many bytes, within so many seconds."""

    def __init__(self, app: ASGIApp, most: int, seconds: float):
        self.app, self.most, self.seconds = app, most, seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 413 for a body that is too large and 408 for one that does not come."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        try:
            body = await asyncio.wait_for(self._read(scope, receive), self.seconds)
        except HTTPException as error:
            return await _refusal(error.status_code, error.detail)(scope, receive, send)
        except TimeoutError:
            text = f"The request did not arrive within {self.seconds:g} seconds."
            return await _refusal(408, text)(scope, receive, send)
        if body is not None:
            await self.app(scope, _replayed(body, receive), send)

    async def _read(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body; None where the client leaves before its end."""
        self._weigh(_length(scope))
        parts, size, more = [], 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            self._weigh(size)
            more = message.get("more_body", False)
        return b"".join(parts)

    def _weigh(self, size: int) -> None:
        if size > self.most:
            raise HTTPException(413, f"The body has more than {self.most} bytes, the most that --max_body_mb allows.")


def _length(scope: Scope) -> int:
    said = dict(scope["headers"]).get(b"content-length", b"0")
    return int(said) if said.isdigit() else 0


def _replayed(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body at once, and then whatever else happens."""
    waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return waiting.pop() if waiting else await receive()

    return receive_again


def _refusal(status: int, text: str, code: str | None = None) -> JSONResponse:
    return JSONResponse(failure(text, code), status)


class Left(Exception):
    """The client has left: nobody waits for an answer."""


class Closing(HTTPException):
    """The server is shutting down."""

    def __init__(self) -> None:
        super().__init__(503, "The server is shutting down.")


class Door:
    """Who is being served, and whether anybody may still come in.

    cancels: whether a reply's future may be cancelled, and the engine then stops: between two tokens, or before the
    first. Otherwise an answer ends with its next piece of text.
    """

    def __init__(self, cancels: bool = False) -> None:
        self.closed, self.cancels = False, cancels
        self.visits: set[Visit] = set()

    def clear(self) -> None:
        """End every visit with a 503; may be called from any thread."""
        self.closed = True
        for visit in list(self.visits):
            with suppress(RuntimeError):  # its loop has ended, and it with it
                visit.loop.call_soon_threadsafe(visit.end, Closing())


class Visit:
    """One client's request from its body to the last byte of its answer; knows when the client leaves.

    left: set as soon as nobody waits for the answer; the engine's threads look at it.
    """

    def __init__(self, door: Door, receive: Receive):
        if door.closed:
            raise Closing
        self.door, self.left, self.loop = door, Event(), asyncio.get_running_loop()
        self.over: asyncio.Future[Exception] = self.loop.create_future()
        self.watch = asyncio.ensure_future(self._watch(receive))
        self.futures: list[Future[Any]] = []
        door.visits.add(self)

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.end(Left())

    def follow(self, future: Future[T]) -> Future[T]:
        """The future of a reply, which is given up with the visit."""
        self.futures.append(future)
        return future

    def _leave(self) -> None:
        self.left.set()
        self.door.visits.discard(self)
        for future in self.futures if self.door.cancels else ():
            future.cancel()

    def end(self, why: Exception) -> None:
        """Nobody needs an answer any more."""
        self._leave()
        if not self.over.done():
            self.over.set_result(why)

    def close(self) -> None:
        """The answer is given, or given up."""
        self._leave()
        self.watch.cancel()

    async def during(self, work: Awaitable[T]) -> T:
        """What `work` gives. Raises Left where the client leaves before, Closing where the server ends."""
        task = asyncio.ensure_future(work)
        waiting: set[asyncio.Future[Any]] = {task, self.over}
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise self.over.result()
            return task.result()
        finally:
            task.add_done_callback(_forget)
            task.cancel()


def _forget(task: asyncio.Future[Any]) -> None:
    """Look at the end of a task that was given up, which asyncio would report otherwise."""
    with suppress(asyncio.CancelledError):
        task.exception()


def awaited(future: Future[T], loop: asyncio.AbstractEventLoop) -> asyncio.Future[T]:
    """A thread's future as one of the loop; given up, it leaves the thread's own alone, which will be set."""
    waiter: asyncio.Future[T] = loop.create_future()

    def settle() -> None:
        if waiter.cancelled() or future.cancelled():
            return
        error = future.exception()
        if error is not None:
            waiter.set_exception(error)
        else:
            waiter.set_result(future.result())

    def done(_: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle)

    future.add_done_callback(done)
    return waiter
