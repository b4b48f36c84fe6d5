"""`/metrics` for Prometheus: requests by path and status, tokens, waiting times.

prometheus_client is Prometheus' own library for Python: it writes the text format, and its counters take threads.
Each server has a registry of its own, so that two in one process do not add up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swift_core.contract.engine import Heard, Reply, Request

SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
"""Upper bounds of the histograms' buckets."""


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        told: dict[str, Any] = {"registry": self.registry}
        self.requests = Counter("swift_requests", "HTTP requests answered.", ["path", "status"], **told)
        self.seconds = Histogram("swift_request_seconds", "To the last byte.", ["path"], buckets=SECONDS, **told)
        self.running = Gauge("swift_answers_running", "Answers that are waited for.", **told)
        self.asked = Counter("swift_prompt_tokens", "Tokens of prompts.", **told)
        self.said = Counter("swift_generation_tokens", "Tokens of answers.", **told)
        self.ended = Counter("swift_answers", "Answers, by why they ended.", ["finish_reason"], **told)
        self.first = Histogram(
            "swift_time_to_first_piece_seconds", "To an answer's first piece.", buckets=SECONDS, **told
        )

    def shown(self) -> Response:
        """The numbers as text."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)

    def counted(self, submit: Callable[[Request, Heard], Future[Reply]]) -> Callable[..., Future[Reply]]:
        """`submit`, with its answers counted."""

        def submit_counted(request: Request, heard: Heard) -> Future[Reply]:
            begin, waiting = time.monotonic(), [True]

            def listen(piece: str) -> bool:
                if waiting:
                    waiting.clear()
                    self.first.observe(time.monotonic() - begin)
                return heard(piece)

            self.running.inc()
            future = submit(request, listen)
            future.add_done_callback(self._count)
            return future

        return submit_counted

    def _count(self, future: Future[Reply]) -> None:
        self.running.dec()
        if future.cancelled() or future.exception():
            self.ended.labels("cancelled" if future.cancelled() else "error").inc()
            return
        reply = future.result()
        self.asked.inc(reply.prompt_tokens)
        self.said.inc(reply.completion_tokens)
        self.ended.labels(reply.finish_reason).inc()


class Counted:
    """Counts what goes through: by the route's path, because what clients write would make a label of each typo."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass it on, and count it when it has ended."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        begin, statuses = time.monotonic(), list[int]()

        async def send_seen(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, send_seen)
        finally:
            path = getattr(scope.get("route"), "path", "other")
            self.metrics.requests.labels(path, statuses[0] if statuses else 0).inc()
            self.metrics.seconds.labels(path).observe(time.monotonic() - begin)
