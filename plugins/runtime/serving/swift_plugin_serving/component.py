"""The server and the backend that speak OpenAI's HTTP interface."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core import hookimpl
from swift_core.contract.components import Backend, Server

if TYPE_CHECKING:
    from swift_core.contract.engine import Engine
    from swift_core.contract.job import Job


@dataclass(eq=False)
class OpenAIServer(Server):
    """Serves with OpenAI's HTTP interface: chat, completions, embeddings, reranking and scores."""

    swift_api = 1

    @hookimpl
    def open_server(self, job: Job) -> Opened:
        """Take the port of `--host` and `--port`; SwiftError where it is not free."""
        from swift_plugin_serving.server import bind

        return Opened(job, bind(job.options.host, job.options.port))


class Opened:
    """A server that has its port. The socket is closed at the end of a `with` block."""

    def __init__(self, job: Job, listener: socket.socket):
        self.job, self.listener = job, listener

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: Any) -> None:
        self.listener.close()

    def serve(self, engine: Engine) -> None:
        """Serve until SIGINT or SIGTERM."""
        from swift_core.inference.conversation import sampling
        from swift_plugin_serving.server import serve

        options = self.job.options
        serve(
            engine,
            api_key=options.api_key,
            max_batch_size=options.max_batch_size,
            defaults=sampling(options),
            listener=self.listener,
        )


@dataclass(eq=False)
class Remote(Backend):
    """Asks the server at `--eval_url` rather than loading a model."""

    swift_api = 1

    @hookimpl
    def start_engine(self, job: Job) -> Engine:
        """A client of the server; SwiftError where it cannot be reached."""
        from swift_core import SwiftError
        from swift_plugin_serving.remote import OpenAIEngine

        options = job.options
        url = getattr(options, "eval_url", None)
        if not url:
            raise SwiftError("The backend 'remote' asks a server: say --eval_url http://HOST:PORT/v1 (swift eval).")
        return OpenAIEngine(url, options.api_key, options.eval_model, options.max_batch_size)
