"""Failures in OpenAI's form: 400 for what the client can mend, 404 for what is not there, 500 for bugs."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from fastapi import FastAPI
from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

from swift_core.contract.errors import SwiftError, TooLong, did_you_mean

Json = dict[str, Any]

LOG = logging.getLogger("swift.serving")

CODES = {401: "invalid_api_key", 404: "not_found", 503: "server_shutting_down"}
KINDS = {500: "server_error", 503: "server_error"}


class UnknownModel(HTTPException):
    """A model name that the engine does not answer to."""


class BadField(SwiftError):
    """A field of a body that cannot be honoured. field: its name, which the answer repeats as `param`."""

    def __init__(self, field: str, text: str):
        super().__init__(text)
        self.field = field


def failure(message: str, code: str | None = None, kind: str = "invalid_request_error", param: Any = None) -> Json:
    """An error in OpenAI's form. Halves of characters, which no answer can hold, become question marks."""
    message = message.encode("utf-8", "replace").decode()
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def failed(error: BaseException, known: Iterable[str] = ()) -> tuple[int, Json]:
    """The HTTP status and the body that tell a client about an exception.

    known: names of fields, suggested for unknown ones. The text of a bug stays in the log.
    """
    if isinstance(error, SwiftError):
        code = "context_length_exceeded" if isinstance(error, TooLong) else None
        return 400, failure(str(error), code, param=getattr(error, "field", None))
    if isinstance(error, RequestValidationError):
        text = "; ".join(_mistake(e, known) for e in error.errors()[:5])
        return 400, failure(text, param=_place(error.errors()[0]) or None)
    if isinstance(error, HTTPException):
        code = "model_not_found" if isinstance(error, UnknownModel) else CODES.get(error.status_code)
        kind = KINDS.get(error.status_code, "invalid_request_error")
        return error.status_code, failure(error.detail, code, kind)
    LOG.error("A request failed.", exc_info=error)
    name = type(error).__name__
    return 500, failure(f"The server failed ({name}); its log says where.", kind="server_error")


def _place(mistake: Any) -> str:
    named = mistake["loc"][1:] if mistake["type"] != "json_invalid" else ()
    return ".".join(str(part)[:80] for part in named)


def _mistake(mistake: Any, known: Iterable[str]) -> str:
    """One mistake in a body: where it stands and what it is; an unknown field with the nearest known one."""
    place = _place(mistake)
    if mistake["type"] == "extra_forbidden":
        return f"unknown field {place!r}.{did_you_mean(place, known)}"
    return f"{place or 'body'}: {mistake['msg'].removeprefix('Value error, ')}"


def add_errors(app: FastAPI, known: Iterable[str]) -> None:
    """Answer every exception of the application in OpenAI's form."""
    names = sorted(set(known))

    async def answer(_: HttpRequest, error: Exception) -> Response:
        status, body = failed(error, names)
        return JSONResponse(body, status)

    for kind in (SwiftError, RequestValidationError, HTTPException):
        app.exception_handler(kind)(answer)
