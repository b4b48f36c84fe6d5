"""`swift app`: a page that assembles `swift` command lines, runs them in the background and shows what becomes of them.

The forms are made from the same option fields as `--help`, so a third party's component has its form at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from swift_plugin_webui.safety.gate import Rules

app = typer.Typer(invoke_without_command=True)

AUTH, TOKEN = "SWIFT_APP_AUTH", "SWIFT_APP_TOKEN"
"""Environment variables that no list of processes shows to others, as command lines are."""


CACHE = "cache"

CLOSING = 3
"""Seconds that open pages have once the server is asked to end: they listen for as long as they are open."""


@app.callback()
def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond this machine only with a lock.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on; 0: any free one.")] = 7860,
    folder: Annotated[str, typer.Option(help="Where jobs and their logs are kept.")] = "output/webui",
    allow: Annotated[list[str] | None, typer.Option(help="A further folder that jobs may touch, besides this.")] = None,
    auth: Annotated[str, typer.Option(envvar=AUTH, help="USER:PASSWORD that a browser asks for.")] = "",
    token: Annotated[str, typer.Option(envvar=TOKEN, help="A token that opens http://HOST/?token=TOKEN.")] = "",
    allowed_host: Annotated[list[str] | None, typer.Option(help="A further name of this server in browsers.")] = None,
    upload_mb: Annotated[int, typer.Option(help="Largest file that may be uploaded, in MiB.")] = 512,
) -> None:
    """Start the Web-UI."""
    for name in (AUTH, TOKEN):  # jobs that it starts need not know
        os.environ.pop(name, None)
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": _cache(folder)}
    from swift_plugin_serving.component import is_loopback

    from swift_plugin_webui.safety.gate import Rules, check

    rules = Rules(is_loopback(host), tuple(name.lower() for name in allowed_host or ()), auth, token)
    check(rules, host)
    _run(host, port, folder, allow or [], rules, upload_mb)


def _cache(folder: str) -> str:
    """Where uploads and pictures of chats lie for a day: among the jobs, closed to other users."""
    cache = Path(folder, CACHE).resolve()
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return str(cache)


def _run(host: str, port: int, folder: str, allow: list[str], rules: Rules, upload_mb: int) -> None:
    import uvicorn
    from swift_plugin_serving.server import address, bind

    from swift_plugin_webui.jobs.store import Store
    from swift_plugin_webui.page.site import site
    from swift_plugin_webui.safety.paths import Places

    with bind(host, port) as listening:
        application = site(Store(folder, Places([".", folder, *allow])), rules, upload_mb)
        print(f"Web-UI on {address(listening)}{'/?token=…' if rules.token else ''}", flush=True)
        config = uvicorn.Config(
            application, log_level="warning", server_header=False, timeout_graceful_shutdown=CLOSING
        )
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        uvicorn.Server(config).run(sockets=[listening])


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is no page that was still open when the server ended."""
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
