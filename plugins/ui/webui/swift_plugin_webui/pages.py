"""The page and the small interface behind it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from importlib import resources
from typing import Any

from fastapi import FastAPI, Request
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import HTMLResponse, JSONResponse

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import describe_options
from swift_core.job.specs import JOBS, find_job
from swift_plugin_webui.runs import Runs

LOCAL = ["127.0.0.1", "localhost"]


def build(folder: str, host: str = "127.0.0.1") -> FastAPI:
    """The application. folder: where logs of jobs are kept. host: the address it listens on.

    It starts programs, so it answers to its own page alone: on a local address it refuses other names of this machine
    (DNS rebinding), and it takes JSON only, which a foreign page cannot send without asking first.
    """
    runs = Runs(folder)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> Any:
        yield
        runs.stop_all()

    app = FastAPI(title="swift", lifespan=lifespan)

    app.add_middleware(TrustedHostMiddleware, allowed_hosts=LOCAL if host in LOCAL else ["*"])

    @app.exception_handler(SwiftError)
    def refuse(_: Request, error: SwiftError) -> JSONResponse:
        return JSONResponse({"error": str(error)}, status_code=400)

    @app.get("/", response_class=HTMLResponse)
    def page() -> str:
        return resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")

    @app.get("/api/jobs")
    def jobs() -> list[dict[str, str]]:
        return [{"name": spec.name, "summary": spec.summary} for spec in JOBS.values()]

    @app.get("/api/form/{job}")
    def form(job: str, chosen: str = "") -> list[dict[str, Any]]:
        return form_of(job, [tuple(word.split(":", 1)) for word in chosen.split(",") if ":" in word])

    @app.get("/api/components")
    def components() -> list[dict[str, str]]:
        entries = Catalogue.installed().entries
        return [{k: getattr(e, k) for k in ("kind", "name", "package", "version", "summary")} for e in entries]

    @app.post("/api/runs")
    async def start(request: Request) -> dict[str, Any]:
        if request.headers.get("content-type") != "application/json":
            raise SwiftError("A job is started with JSON: send it as content-type application/json.")
        wanted = await request.json()
        return runs.start(wanted["job"], wanted["options"]).describe()

    @app.get("/api/runs/{name}")
    def show(name: str) -> dict[str, Any]:
        return runs.find(name).describe()

    @app.post("/api/runs/{name}/stop")
    def stop(name: str) -> dict[str, Any]:
        runs.find(name).stop()
        return runs.find(name).describe()

    return app


def form_of(job: str, chosen: list[tuple[str, ...]]) -> list[dict[str, Any]]:
    """Groups of fields: the job's own, then those of each (kind, name) that the page has chosen."""
    spec, catalogue = find_job(job), Catalogue.installed()
    groups = [_group(f"swift {job}", spec.options_class(), spec.defaults, catalogue)]
    for kind, name in chosen:
        component = catalogue.find(kind, name).load()
        if isinstance(component, type) and describe_options(component):
            groups.append(_group(f"{kind} {name}", component, {}, catalogue))
    return groups


def _group(title: str, owner: type, defaults: dict[str, Any], catalogue: Catalogue) -> dict[str, Any]:
    fields = []
    for info in describe_options(owner):
        choices = sorted({e.name for e in catalogue.of_kind(info.kind)}) if info.kind else []
        default = defaults.get(info.name, info.default)
        shown = " ".join(map(str, default)) if isinstance(default, list) else "" if default is None else str(default)
        fields.append(
            {"name": info.name, "type": info.type, "help": info.help, "kind": info.kind}
            | {"choices": choices, "default": "" if shown == "{}" else shown}
        )
    return {"title": title, "fields": fields}
