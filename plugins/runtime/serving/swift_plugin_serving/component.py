"""The server and the backend that speak OpenAI's HTTP interface."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Backend, EngineTraits, Server, declared
from swift_core.contract.engine import Sampling

if TYPE_CHECKING:
    from swift_core.contract.engine import Engine
    from swift_core.contract.job import Job


@dataclass(kw_only=True, eq=False)
class OpenAIServer(Server):
    """Serves with OpenAI's HTTP interface: chat, completions, embeddings, reranking and scores."""

    swift_api = 1

    api_key_file: str | None = option(
        None, "File of keys that clients may send, one a line; SWIFT_API_KEY holds some as well, between commas."
    )
    allowed_origins: list[str] = option(
        [], "Web pages that may ask from a browser (CORS): https://HOST, or * for any; left out, none."
    )
    ssl_certfile: str | None = option(None, "Certificate for HTTPS, a PEM file.")
    ssl_keyfile: str | None = option(None, "Its key, where the certificate's file does not hold it.")
    grace_seconds: float = option(5.0, "How long answers under way go on once the server is told to stop.", ge=0)
    request_seconds: float = option(30.0, "How long a request may take to arrive whole.", gt=0)
    max_body_mb: float = option(32.0, "Largest body of a request, in MiB.", gt=0)
    max_inputs: int = option(2048, "Most answers, texts or documents that one request may ask for.", ge=1)
    allowed_media_domains: list[str] = option(
        [],
        "Hosts from which pictures, videos and sounds are fetched: media.example.org, .example.org for all below it, "
        "* for any public one; left out, media come as data: URIs only.",
    )
    max_media_mb: float = option(32.0, "Largest picture, video or sound, in MiB.", gt=0)
    max_image_pixels: int = option(2**25, "Largest picture, in pixels; a larger one is refused, not shrunk.", ge=1)
    own_sampling: bool = option(
        False, "Draw as the checkpoint's generation_config.json says where neither a client nor an option does."
    )
    lora_dir: str | None = option(
        None, "Folder of LoRA adapters that clients with a key may load while the server runs; left out, none."
    )
    media_seconds: float = option(10.0, "How long the media of one request may take to come.", gt=0)

    @hookimpl
    def open_server(self, job: Job) -> Opened:
        """Take the port of `--host` and `--port`; SwiftError where it is not free, or keys cannot be read."""
        from swift_plugin_serving.server import bind
        from swift_plugin_serving.settings import Settings, check_certificate, check_folder, keys_of

        check_folder(self.lora_dir)
        check_certificate(self.ssl_certfile, self.ssl_keyfile)
        names = {field.name for field in fields(self)} & {field.name for field in fields(Settings)}
        told = {name: getattr(self, name) for name in names}
        keys = keys_of(job.options.api_key, self.api_key_file)
        if not keys and not is_loopback(job.options.host):
            job.say(f"Whoever reaches {job.options.host} may ask this server: say --api_key or --api_key_file.")
        return Opened(job, bind(job.options.host, job.options.port), {**told, "api_keys": keys}, self.own_sampling)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server on this host."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Opened:
    """A server that has its port. The socket is closed at the end of a `with` block.

    told: fields of `Settings`. own_sampling: as the option of this name.
    """

    def __init__(self, job: Job, listener: socket.socket, told: dict[str, Any], own_sampling: bool = False):
        self.job, self.listener, self.told, self.own_sampling = job, listener, told, own_sampling

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: Any) -> None:
        self.listener.close()

    def serve(self, engine: Engine) -> None:
        """Serve until SIGINT or SIGTERM."""
        from swift_core.inference.conversation import sampling
        from swift_plugin_serving.server import serve

        options, drawn = self.job.options, sampling(self.job.options)
        if self.own_sampling:
            drawn = drawn_as_own(engine, drawn)
            self.job.say(f"Left out, answers are drawn as the checkpoint says: {said_of(drawn)}.")
        serve(engine, listener=self.listener, max_batch_size=options.max_batch_size, defaults=drawn, **self.told)


def drawn_as_own(engine: Engine, told: Sampling) -> Sampling:
    """How answers are drawn by the checkpoint's own settings, and by what was told beside the usual.

    Raises SwiftError where the engine does not know them.
    """
    own, plain = declared(engine, EngineTraits, "own_sampling"), Sampling()
    if own is None:
        raise SwiftError(
            "--own_sampling: this backend does not tell the checkpoint's own settings; say them by options."
        )
    unsaid = {name: value for name, value in own.items() if getattr(told, name) == getattr(plain, name)}
    return dataclasses.replace(told, **unsaid)


def said_of(drawn: Sampling) -> str:
    """What of a sampling is unusual, in words."""
    plain = Sampling()
    names = (field.name for field in fields(drawn))
    return ", ".join(f"{n} {getattr(drawn, n)}" for n in names if getattr(drawn, n) != getattr(plain, n)) or "greedily"


@dataclass(eq=False)
class Remote(Backend):
    """Asks the server at `--eval_url` rather than loading a model."""

    swift_api = 1

    @hookimpl
    def start_engine(self, job: Job) -> Engine:
        """A client of the server; SwiftError where it cannot be reached."""
        from swift_plugin_serving.remote import OpenAIEngine

        options = job.options
        url = getattr(options, "eval_url", None)
        if not url:
            raise SwiftError("The backend 'remote' asks a server: say --eval_url http://HOST:PORT/v1 (swift eval).")
        return OpenAIEngine(url, options.api_key, options.eval_model, options.max_batch_size)
