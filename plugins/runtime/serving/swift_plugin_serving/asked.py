"""An engine that another program asks over HTTP for as long as it measures."""

from __future__ import annotations

import socket
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from swift_core.contract.errors import SwiftError
from swift_core.contract.job import Job
from swift_core.inference.conversation import first_adapter, sampling
from swift_plugin_serving.remote import base_url


@contextmanager
def asked(job: Job, engine: Any) -> Iterator[tuple[str, str]]:
    """(address that ends in /v1, name of the model) of the endpoint that a program may ask meanwhile.

    With `--eval_url` that server; else the engine is served on the loopback address, and what a request leaves out is
    as the job's generation options say.
    """
    options = job.options
    model = first_adapter(engine) or engine.models[0]
    if options.eval_url:
        _check_reachable(base_url(options.eval_url))
        yield base_url(options.eval_url), model
        return
    from swift_plugin_serving.server import running_server

    told = {"max_batch_size": options.max_batch_size, "api_key": options.api_key, "defaults": sampling(options)}
    with running_server(engine, **told) as url:
        yield f"{url}/v1", model


def _check_reachable(url: str) -> None:
    """SwiftError where nobody listens: some programs would ask for ever."""
    parts = urllib.parse.urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=10).close()
    except OSError as error:
        raise SwiftError(
            f"Nobody answers at --eval_url {url}: {error}. Is the server running, and is the address right?"
        ) from None
