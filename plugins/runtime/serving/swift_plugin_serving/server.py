"""An engine behind OpenAI's HTTP interface: models, chat completions, completions, embeddings, reranking, health.

`serve` runs until it is told to stop; `running_server` runs one beside the caller:

    with running_server(engine) as url:
        client = openai.OpenAI(base_url=url + "/v1", api_key="EMPTY")
"""

from __future__ import annotations

import importlib.metadata
import signal
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi import Request as HttpRequest
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Engine
from swift_core.contract.errors import SwiftError
from swift_plugin_serving import adapters_api, anthropic_api, openai_api, scoring_api, tokens_api
from swift_plugin_serving.adapters_api import LoadBody, UnloadBody
from swift_plugin_serving.anthropic_api import CountBody, MessagesBody
from swift_plugin_serving.batcher import Batcher
from swift_plugin_serving.errors import add_errors, failed
from swift_plugin_serving.gate import Bodies, Closing, Door, Keys, Left
from swift_plugin_serving.metrics import Counted
from swift_plugin_serving.openai_api import ChatBody, CompletionBody, Json
from swift_plugin_serving.ready import Desk
from swift_plugin_serving.responses_api import ResponsesBody
from swift_plugin_serving.scoring_api import EmbeddingBody, RerankBody, ScoreBody
from swift_plugin_serving.service import Service
from swift_plugin_serving.settings import MEGABYTE, Settings
from swift_plugin_serving.timed import timed
from swift_plugin_serving.tokens_api import DetokenizeBody, TokenizeBody

LAST_WORDS = 5
"""Seconds in which clients hear that the server ends, after the grace."""

BODIES = (
    ChatBody, CompletionBody, EmbeddingBody, RerankBody, ScoreBody, MessagesBody, ResponsesBody, TokenizeBody, LoadBody,
)  # fmt: skip
"""The bodies of requests, whose fields are suggested for unknown ones."""


def serve(engine: Engine, host: str = "127.0.0.1", port: int = 8000, **told: Any) -> None:
    """Serve until SIGINT or SIGTERM, let the answers under way end, and return. The engine stays open.

    told: as `running_server` takes it. A second signal ends the answers at once.
    """
    stop, hurry = threading.Event(), threading.Event()

    def stopped(*_: Any) -> None:
        (hurry if stop.is_set() else stop).set()

    before = {s: signal.signal(s, stopped) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        with running_server(engine, host, port, hurry=hurry, **told) as url:
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
    listener: socket.socket | None = None,
    hurry: threading.Event | None = None,
    **told: Any,
) -> Iterator[str]:
    """A server in a thread; gives its address, `http://HOST:PORT`, and stops it in the end.

    port: 0 takes any free one. listener: a socket from `bind`, instead of host and port. hurry: set, the answers under
    way end at once. told: fields of `Settings`, and `api_key`: one that clients may send.
    """
    settings = Settings.of(**told)
    listener = listener or bind(host, port)
    batcher, door, desk = Batcher(engine, settings.max_batch_size), _door(engine), Desk(engine, settings)
    app = make_app(Service(engine, batcher, desk, door, settings.defaults), settings)
    server = uvicorn.Server(_config(app, settings))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="server", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        yield address(listener, "https" if settings.ssl_certfile else "http")
    finally:
        door.closed = server.should_exit = True
        _wait(thread, settings.grace_seconds, hurry or threading.Event())
        door.clear()
        thread.join()
        batcher.close()
        desk.close()
        listener.close()


def _door(engine: Engine) -> Door:
    return Door(cancels=declared(engine, EngineTraits, "admits") or declared(engine, EngineTraits, "batches_itself"))


def _config(app: FastAPI, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=timed(settings.request_seconds),
        log_config=None,
        lifespan="off",
        timeout_graceful_shutdown=int(settings.grace_seconds) + 1 + LAST_WORDS,
        ssl_certfile=settings.ssl_certfile,
        ssl_keyfile=settings.ssl_keyfile,
        server_header=False,
    )


def _wait(thread: threading.Thread, seconds: float, hurry: threading.Event) -> None:
    """Until the thread has ended, the time is over, or somebody is in a hurry."""
    until = time.monotonic() + seconds
    while thread.is_alive() and time.monotonic() < until and not hurry.is_set():
        thread.join(0.05)


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


def address(listener: socket.socket, scheme: str = "http") -> str:
    """The URL of a listening socket; a server on every address is named by the loopback one."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Route(APIRoute):
    """A route whose every failure is answered in OpenAI's form, a bug too: the connection stays as it is."""

    def get_route_handler(self) -> Callable[[HttpRequest], Coroutine[Any, Any, Response]]:
        """FastAPI's handler, watched over."""
        handle = super().get_route_handler()

        async def answer(request: HttpRequest) -> Response:
            try:
                return await handle(request)
            except Left:
                return Response(status_code=499)  # nobody reads it
            except Exception as error:
                status, body = failed(error, KNOWN_FIELDS)
                return JSONResponse(self.written(body), status)

        return answer

    @staticmethod
    def written(body: Json) -> Json:
        """A failure in the form of the route's interface."""
        return body


class _AnthropicRoute(_Route):
    """The same in Anthropic's form."""

    @staticmethod
    def written(body: Json) -> Json:
        """A failure as their clients read it."""
        return anthropic_api.failure(body)


KNOWN_FIELDS = sorted({name for body in BODIES for name in body.model_fields})


def make_app(service: Service, settings: Settings) -> FastAPI:
    """The application: routes, errors in OpenAI's form, and before them keys and limits, the outermost last.

    `/health` stays open; everything else asks for a key, OpenAPI's description as well. No path leads to another
    one, because a redirect would repeat the Host header of the client.
    """
    app = FastAPI(title="swift-core", docs_url=None, redoc_url=None, redirect_slashes=False)
    for routes in (_general(service), _completions(service), _scores(service), _tokens(service), _anthropic(service)):
        app.include_router(routes)
    app.include_router(_adapters(service, settings))
    add_errors(app, KNOWN_FIELDS)
    app.add_middleware(Bodies, most=int(settings.max_body_mb * MEGABYTE), seconds=settings.request_seconds)
    app.add_middleware(Keys, keys=settings.api_keys)
    app.add_middleware(Counted, metrics=service.metrics)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.allowed_origins, allow_methods=["*"], allow_headers=["*"]
        )
    return app


def _router() -> APIRouter:
    return APIRouter(route_class=_Route, redirect_slashes=False)


def _general(service: Service) -> APIRouter:
    routes, started = _router(), int(time.time())

    @routes.get("/health")
    @routes.get("/ping")
    async def health() -> dict[str, str]:
        if service.door.closed:
            raise Closing
        return {"status": "ok"}

    @routes.get("/metrics")
    async def metrics() -> Response:
        return service.metrics.shown()

    @routes.get("/version")
    async def version() -> dict[str, str]:
        return {"version": importlib.metadata.version("swift-plugin-serving")}

    @routes.get("/v1/models")
    async def models() -> Any:
        return openai_api.model_list(service.engine.models, started, service.desk.window)

    @routes.get("/v1/models/{name:path}")
    async def model(name: str) -> Any:
        service.adapter(name)
        listed = openai_api.model_list(service.engine.models, started, service.desk.window)
        return next(m for m in listed["data"] if m["id"] == name)

    return routes


def _completions(service: Service) -> APIRouter:
    routes = _router()

    @routes.post("/v1/chat/completions")
    async def chat(body: ChatBody, request: HttpRequest) -> Response:
        return await service.chat(body, request.receive)

    @routes.post("/v1/completions")
    async def completions(body: CompletionBody, request: HttpRequest) -> Response:
        return await service.completions(body, request.receive)

    @routes.post("/v1/responses")
    async def responses(body: ResponsesBody, request: HttpRequest) -> Response:
        return await service.responses(body, request.receive)

    return routes


def _tokens(service: Service) -> APIRouter:
    routes = _router()

    @routes.post("/tokenize")
    async def tokenize(body: TokenizeBody) -> Json:
        return await tokens_api.tokenize(body, service)

    @routes.post("/detokenize")
    async def detokenize(body: DetokenizeBody) -> Json:
        return await tokens_api.detokenize(body, service)

    return routes


def _adapters(service: Service, settings: Settings) -> APIRouter:
    routes = _router()

    @routes.post("/v1/load_lora_adapter")
    async def load(body: LoadBody) -> Response:
        return PlainTextResponse(await adapters_api.load(body, service, settings))

    @routes.post("/v1/unload_lora_adapter")
    async def unload(body: UnloadBody) -> Response:
        return PlainTextResponse(await adapters_api.unload(body, service, settings))

    return routes


def _anthropic(service: Service) -> APIRouter:
    routes = APIRouter(route_class=_AnthropicRoute, redirect_slashes=False)

    @routes.post("/v1/messages")
    async def messages(body: MessagesBody, request: HttpRequest) -> Response:
        return await service.messages(body, request.receive)

    @routes.post("/v1/messages/count_tokens")
    async def count(body: CountBody) -> Json:
        asked = anthropic_api.request_of(body, service.defaults, service.adapter(body.model))
        return {"input_tokens": len(await tokens_api.prompt_ids(asked, service))}

    return routes


def _scores(service: Service) -> APIRouter:
    routes = _router()

    @routes.post("/v1/embeddings")
    async def embeddings(body: EmbeddingBody, request: HttpRequest) -> Json:
        return await scoring_api.embeddings(body, service.asker(request.receive), service)

    @routes.post("/v1/rerank")
    async def rerank(body: RerankBody, request: HttpRequest) -> Json:
        return await scoring_api.rerank(body, service.asker(request.receive), service)

    @routes.post("/v1/score")
    async def score(body: ScoreBody, request: HttpRequest) -> Json:
        return await scoring_api.score(body, service.asker(request.receive), service)

    return routes
