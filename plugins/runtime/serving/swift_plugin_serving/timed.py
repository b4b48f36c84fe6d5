"""HTTP/1.1 that does not wait for ever: a connection whose request's head does not come whole is closed.

uvicorn limits the time between requests, and not the time that a head takes; a client that sends half of one would
hold its connection as long as it likes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class TimedH11(H11Protocol):
    """uvicorn's own protocol. seconds: how long the head of a request may take, from its first byte."""

    seconds: float = 30
    waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A connection that says nothing is closed as well."""
        super().connection_made(transport)
        self.waiting = self.loop.call_later(self.seconds, self.transport.close)

    def data_received(self, data: bytes) -> None:
        """The time runs while a head is half there."""
        super().data_received(data)
        half = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if half and self.waiting is None:
            self.waiting = self.loop.call_later(self.seconds, self.transport.close)
        elif not half:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _stop_waiting(self) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
            self.waiting = None


def timed(seconds: float) -> type[TimedH11]:
    """The protocol with this limit, as a class, which is what uvicorn takes."""
    return type("Timed", (TimedH11,), {"seconds": seconds})
