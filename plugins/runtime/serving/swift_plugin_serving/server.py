"""An engine behind OpenAI's HTTP interface: models, chat completions, completions, embeddings, reranking, health.

`serve` runs until it is told to stop; `running_server` runs one beside the caller:

    with running_server(engine) as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="EMPTY")
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import uvicorn
from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from swift_core.contract.engine import Engine, Reply, Request
from swift_core.contract.errors import SwiftError, did_you_mean
from swift_plugin_serving import openai_api, scoring_api
from swift_plugin_serving.batcher import Batcher
from swift_plugin_serving.openai_api import Body, ChatBody, CompletionBody, Json, Written
from swift_plugin_serving.scoring_api import EmbeddingBody, RerankBody, ScoreBody

GRACE_SECONDS = 5
"""How long answers under way may go on once the server is told to stop."""


def serve(engine: Engine, host: str = "127.0.0.1", port: int = 8000, **settings: Any) -> None:
    """Serve until SIGINT or SIGTERM, then end the answers under way and return. The engine stays open.

    settings: as `running_server` takes them.
    """
    stop = threading.Event()
    before = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with running_server(engine, host, port, **settings) as url:
            print(f"Serving on {url}", flush=True)
            stop.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def running_server(
    engine: Engine,
    host: str = "127.0.0.1",
    port: int = 0,
    *,
    api_key: str | None = None,
    max_batch_size: int = 8,
    defaults: dict[str, Any] | None = None,
    listener: socket.socket | None = None,
) -> Iterator[str]:
    """A server in a thread; gives its address, `http://HOST:PORT`, and stops it in the end.

    port: 0 takes any free one. api_key: what clients must send. defaults: fields of a request that a
    client leaves out. listener: a socket from `bind`, instead of host and port.
    """
    listener = listener or bind(host, port)
    batcher = Batcher(engine, max_batch_size)
    app = make_app(engine, batcher, api_key, defaults or {})
    settings = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=GRACE_SECONDS)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield address(listener)
    finally:
        server.should_exit = True
        thread.join()
        batcher.close()
        listener.close()


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; SwiftError where the port is taken or may not be used. Clients may connect at once."""
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(128)
    except OSError as error:
        why = error.strerror or str(error)
        raise SwiftError(f"Cannot serve on {host}:{port}: {why}. Choose another --port (0: any free one).") from None
    return listener


def address(listener: socket.socket) -> str:
    """The URL of a listening socket; a server on every address is named by the loopback one."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def make_app(engine: Engine, batcher: Batcher, api_key: str | None, defaults: dict[str, Any]) -> FastAPI:
    """The application: routes, errors in OpenAI's form, and the key."""
    app = FastAPI(title="swift-core", docs_url=None, redoc_url=None)
    service = Service(engine, batcher, defaults)
    started = int(time.time())

    @app.middleware("http")
    async def authorize(request: HttpRequest, proceed: Any) -> Response:
        if api_key is not None and request.url.path.startswith("/v1"):
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
            if not secrets.compare_digest(given.encode(), api_key.encode()):
                return JSONResponse(openai_api.failure("Wrong or missing API key.", "invalid_api_key"), 401)
        response: Response = await proceed(request)
        return response

    @app.get("/health")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/v1/models")
    async def models() -> Any:
        return openai_api.model_list(engine.models, started)

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> Any:
        service.adapter(name)
        return next(m for m in openai_api.model_list(engine.models, started)["data"] if m["id"] == name)

    @app.post("/v1/chat/completions")
    async def chat(body: ChatBody) -> Response:
        return await service.chat(body)

    @app.post("/v1/completions")
    async def completions(body: CompletionBody) -> Response:
        return await service.completions(body)

    @app.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody) -> Json:
        return await scoring_api.embeddings(body, batcher.submit, engine, service.adapter(body.model))

    @app.post("/v1/rerank")
    async def rerank(body: RerankBody) -> Json:
        return await scoring_api.rerank(body, batcher.submit, engine, service.adapter(body.model))

    @app.post("/v1/score")
    async def score(body: ScoreBody) -> Json:
        return await scoring_api.score(body, batcher.submit, engine, service.adapter(body.model))

    _add_errors(app)
    return app


def _add_errors(app: FastAPI) -> None:
    """Every failure in OpenAI's form: 400 for what the client can mend, 404 for what is not there, 500 for bugs."""

    @app.exception_handler(SwiftError)
    async def refused(_: HttpRequest, error: SwiftError) -> Response:
        return JSONResponse(openai_api.failure(str(error)), 400)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: HttpRequest, error: RequestValidationError) -> Response:
        return JSONResponse(openai_api.failure("; ".join(_mistake(e) for e in error.errors())), 400)

    @app.exception_handler(HTTPException)
    async def http(_: HttpRequest, error: HTTPException) -> Response:
        code = "model_not_found" if isinstance(error, UnknownModel) else None
        return JSONResponse(openai_api.failure(error.detail, code), error.status_code)

    @app.exception_handler(Exception)
    async def bug(_: HttpRequest, error: Exception) -> Response:
        return JSONResponse(openai_api.failure(f"{type(error).__name__}: {error}", kind="server_error"), 500)


BODIES = (ChatBody, CompletionBody, EmbeddingBody, RerankBody, ScoreBody)
"""The bodies of requests, whose fields are suggested for unknown ones."""


def _mistake(error: Any) -> str:
    """One mistake in a body: where it stands and what it is; an unknown field with the nearest known one."""
    place = ".".join(str(part) for part in error["loc"][1:])
    if error["type"] == "extra_forbidden":
        known = [name for body in BODIES for name in body.model_fields]
        return f"unknown field {place!r}.{did_you_mean(place, known)}"
    return f"{place or 'body'}: {error['msg']}"


class UnknownModel(HTTPException):
    """A model name that the engine does not answer to."""


class Service:
    """The two completions, over one batcher."""

    def __init__(self, engine: Engine, batcher: Batcher, defaults: dict[str, Any]):
        self.engine, self.batcher, self.defaults = engine, batcher, defaults

    async def chat(self, body: ChatBody) -> Response:
        """POST /v1/chat/completions."""
        openai_api.check(body)
        return await self._respond(body, [openai_api.chat_request(body, self._settings(body))], chat=True)

    async def completions(self, body: CompletionBody) -> Response:
        """POST /v1/completions."""
        openai_api.check(body)
        return await self._respond(body, openai_api.prompt_requests(body, self._settings(body)), chat=False)

    def adapter(self, model: str | None) -> str | None:
        """The adapter that a model name means, None for the base model; 404 for a name nobody has."""
        if model is None or model == self.engine.models[0]:
            return None
        if model not in self.engine.models:
            text = f"The model {model!r} does not exist.{did_you_mean(model, self.engine.models)}"
            text += f" Served are: {', '.join(self.engine.models)}."
            raise UnknownModel(404, text)
        return model

    def _settings(self, body: Body) -> dict[str, Any]:
        return {**openai_api.sampling_of(body, self.defaults), "adapter": self.adapter(body.model)}

    async def _respond(self, body: Body, asked: list[Request], chat: bool) -> Response:
        requests = [copy for request in asked for copy in _copies(request, body.n or 1)]
        written = Written(body.model or self.engine.models[0], chat)
        if not body.stream:
            futures = [asyncio.wrap_future(self.batcher.submit(request)) for request in requests]
            return JSONResponse(written.whole(await asyncio.gather(*futures), len(asked)))
        stream = Stream(self.batcher, requests, written)
        first = await stream.queue.get()  # an error before the first piece still gets its own status
        if isinstance(first[1], Exception):
            raise first[1]
        counted = len(asked) if body.stream_options and body.stream_options.include_usage else 0
        return StreamingResponse(stream.events(first, counted), media_type="text/event-stream")


def _copies(request: Request, n: int) -> list[Request]:
    """`n` requests for the same question, each with its own seed."""
    import dataclasses

    seeds = [None if request.seed is None else request.seed + i for i in range(n)]
    return [dataclasses.replace(request, seed=seed) for seed in seeds]


class Stream:
    """The pieces of one or more answers, brought from the engine's threads to the event loop."""

    def __init__(self, batcher: Batcher, requests: list[Request], written: Written):
        self.queue: asyncio.Queue[tuple[int, str | Reply | Exception]] = asyncio.Queue()
        self.loop = asyncio.get_running_loop()
        self.requests, self.written = requests, written
        self.left = threading.Event()
        for index, request in enumerate(requests):
            # with tools only the whole text tells whether it is a call, so nothing is said before
            future = batcher.submit(request, self._ears(index, silent=bool(request.tools)))
            future.add_done_callback(partial(self._ended, index))

    def _ears(self, index: int, silent: bool) -> Any:
        def heard(piece: str) -> bool:
            if not silent:
                self._put(index, piece)
            return not self.left.is_set()

        return heard

    def _ended(self, index: int, future: Future[Reply]) -> None:
        self._put(index, future.exception() or future.result())

    def _put(self, index: int, item: Any) -> None:
        with suppress(RuntimeError):  # the loop has ended: nobody reads any more
            self.loop.call_soon_threadsafe(self.queue.put_nowait, (index, item))

    async def events(self, first: tuple[int, str | Reply | Exception], prompts: int) -> AsyncIterator[str]:
        """Server-sent events to the end. prompts: how many, to count tokens; 0 leaves the count out."""
        try:
            for index in range(len(self.requests)):
                for chunk in self.written.opening(index):
                    yield _event(chunk)
            replies: dict[int, Reply] = {}
            item = first
            while True:
                for chunk in self._chunks(*item, replies):
                    yield _event(chunk)
                if len(replies) == len(self.requests) or isinstance(item[1], Exception):
                    break
                item = await self.queue.get()
            if prompts and len(replies) == len(self.requests):
                yield _event(self.written.counted([replies[i] for i in sorted(replies)], prompts))
            yield "data: [DONE]\n\n"
        finally:
            self.left.set()

    def _chunks(self, index: int, item: Any, replies: dict[int, Reply]) -> list[Any]:
        if isinstance(item, str):
            return [self.written.piece(index, item)]
        if isinstance(item, Exception):
            return [openai_api.failure(str(item))]
        replies[index] = item
        silent = self.requests[index].tools and item.content
        return [*([self.written.piece(index, item.content)] if silent else []), *self.written.closing(index, item)]


def _event(chunk: Any) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n"
