"""The whole server: gate, downloads, and the page in each language."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, Response, StreamingResponse

from swift_core import SwiftError
from swift_plugin_webui.jobs.devices import gpus
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.page.build import CSS, HEAD, THEME, page
from swift_plugin_webui.page.texts import LANGUAGES, Texts
from swift_plugin_webui.safety.files import CHECKPOINT, archive
from swift_plugin_webui.safety.files import found as offer
from swift_plugin_webui.safety.gate import Gate, Rules


def site(store: Store, rules: Rules, upload_mb: int = 512) -> FastAPI:
    """The application. upload_mb: the largest file that the page takes, in MiB."""
    app = FastAPI(title="swift", docs_url=None, redoc_url=None, openapi_url=None)
    _add_downloads(app, store)
    found = gpus()
    for language in reversed(LANGUAGES):  # the first is at the root, and what is mounted there takes all that is left
        blocks = page(store, Texts(language), found)
        blocks.has_launched = True  # else Gradio takes any path of the host for the path of an uploaded file
        gr.mount_gradio_app(
            app,
            blocks,
            path=f"/{LANGUAGES[language]}".rstrip("/") or "/",
            theme=THEME,
            css=CSS,
            head=HEAD,
            max_file_size=upload_mb * 2**20,
            ssr_mode=False,
            enable_monitoring=False,
            show_error=True,
            footer_links=[],
        )
    app.add_middleware(Gate, rules=rules)
    return app


def _add_downloads(app: FastAPI, store: Store) -> None:
    @app.exception_handler(SwiftError)
    def refuse(_: Request, error: SwiftError) -> Response:
        return PlainTextResponse(str(error), 404)

    @app.get("/download/{name}/{what:path}")
    def download(name: str, what: str) -> Response:
        """What a job offers, as a file."""
        path: Path = offer(store, name, what)
        if what != CHECKPOINT:
            return FileResponse(path, filename=path.name, content_disposition_type="attachment")
        says = {"content-disposition": f'attachment; filename="{name}-{path.name}.tar"'}
        return StreamingResponse(archive(path), media_type="application/x-tar", headers=says)
