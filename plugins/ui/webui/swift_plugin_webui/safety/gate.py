"""Before a request reaches the page: under which name it asks, from which page, and who it is.

The page starts programs, so a foreign page in the same browser must not reach it: neither by a form or script that
sends requests here (`Origin`, `Sec-Fetch-Site`), nor under a name of its own that it points at this machine (DNS
rebinding: `Host`), nor by a frame in which somebody is led to press the buttons of this page (clickjacking). Plain
ASGI, so that no route of any library below stands beside it.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from swift_core import SwiftError

SAFE = ("GET", "HEAD", "OPTIONS")
COOKIE = "swift_app"
LOOPBACK_NAMES = ("localhost",)

DOORS = re.compile(
    r"/(zh/?)?"
    r"(config/?|theme\.css|manifest\.json|favicon\.ico|robots\.txt|pwa_icon(/\d+)?|(assets|static|svelte)/.*"
    r"|gradio_api/(queue/(join|data)|upload|upload_progress|cancel|reset/?|startup-events|app_id|info/?|theme\.css"
    r"|heartbeat/\w+|file=(?!\w+://).*))?|/download/.*",
    re.DOTALL,
)
"""The routes that the page uses. The library has more: proxies, recordings, an editor of its own code, histories."""


UNFRAMED = ((b"content-security-policy", b"frame-ancestors 'self'"), (b"x-frame-options", b"SAMEORIGIN"))
"""Headers of every answer: no foreign page may show it in a frame."""


@dataclass(frozen=True)
class Rules:
    """Who may ask.

    loopback: whether only this machine reaches the server. names: further names in `Host`, besides addresses.
    login: `user:password`. token: what the cookie holds, or `Authorization: Bearer`. Either opens; with neither, all
    who reach the server may ask.
    """

    loopback: bool = True
    names: tuple[str, ...] = ()
    login: str = ""
    token: str = ""


def check(rules: Rules, host: str) -> None:
    """Raises SwiftError for a server that others reach and that would let everybody in."""
    if not rules.loopback and not rules.login and not rules.token:
        raise SwiftError(
            f"Whoever reaches {host} could run programs here: say --auth USER:PASSWORD or --token TOKEN (better "
            "SWIFT_APP_AUTH or SWIFT_APP_TOKEN, which no list of processes shows), or leave --host out."
        )
    if rules.login and ":" not in rules.login:
        raise SwiftError("--auth is a name and a password with a colon between: --auth USER:PASSWORD.")
    if rules.token and len(rules.token) < 16:
        raise SwiftError("--token needs 16 characters or more, so that nobody guesses it.")


class Gate:
    """Refuses what `Rules` do not allow.

    400 for a foreign `Host`, 403 for a foreign page, 401 for a stranger, 404 for a route that the page has no use for.
    """

    def __init__(self, app: ASGIApp, rules: Rules):
        self.app, self.rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        refusal = self._refusal(Asked(scope))
        if refusal is None:
            return await self.app(scope, receive, _unframed(send))
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        await refusal(scope, receive, send)

    def _refusal(self, asked: Asked) -> Response | None:
        if not self._is_ours(asked.host):
            return PlainTextResponse(f"This server does not answer to the name {asked.host!r}.", 400)
        if asked.is_foreign():
            return PlainTextResponse("Requests of other pages are refused.", 403)
        return self._stranger(asked) or _no_door(asked)

    def _is_ours(self, host: str) -> bool:
        name = host_name(host)
        if name in (*LOOPBACK_NAMES, *self.rules.names):
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return address.is_loopback or not self.rules.loopback

    def _stranger(self, asked: Asked) -> Response | None:
        """What one who may not come in is told; None for one who may."""
        rules = self.rules
        if not rules.login and not rules.token:
            return None
        if rules.token and asked.query_token and _same(asked.query_token, rules.token) and asked.method == "GET":
            return _with_cookie(asked, rules.token)
        if rules.token and any(_same(given, rules.token) for given in asked.tokens()):
            return None
        if rules.login and _same(asked.login(), rules.login):
            return None
        text = "Open the address with the token, or log in."
        headers = {"www-authenticate": 'Basic realm="swift", charset="UTF-8"'} if rules.login else {}
        return PlainTextResponse(text, 401, headers=headers)


class Asked:
    """What a request says of itself."""

    def __init__(self, scope: Scope):
        self.scope = scope
        self.method: str = scope.get("method", "GET")
        self.headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self.headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        self.query = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
        self.query_token = next((value for name, value in self.query if name == "token"), "")

    def one(self, name: str) -> str:
        """A header that is there once; empty where it is missing or there twice."""
        values = self.headers.get(name, [])
        return values[0] if len(values) == 1 else ""

    @property
    def host(self) -> str:
        """Name and port under which it asks."""
        return self.one("host").lower()

    def is_foreign(self) -> bool:
        """Whether another page sent it. A link that leads here may be followed; it changes nothing. A frame is none."""
        followed = self.one("sec-fetch-mode") == "navigate" and self.one("sec-fetch-dest") in ("document", "")
        if self.method in SAFE and followed and self.scope["type"] == "http":
            return False
        if self.one("sec-fetch-site") in ("cross-site", "same-site"):
            return True
        if "origin" in self.headers:
            return urlsplit(self.one("origin")).netloc.lower() != self.host
        return False

    def tokens(self) -> Iterator[str]:
        """Tokens in the cookie and in `Authorization`."""
        try:
            cookies = SimpleCookie("; ".join(self.headers.get("cookie", [])))
        except CookieError:
            cookies = SimpleCookie()
        if COOKIE in cookies:
            yield cookies[COOKIE].value
        scheme, _, rest = self.one("authorization").partition(" ")
        if scheme.lower() == "bearer":
            yield rest.strip()

    def login(self) -> str:
        """`user:password` of HTTP's basic authentication; empty without."""
        scheme, _, rest = self.one("authorization").partition(" ")
        if scheme.lower() != "basic":
            return ""
        try:
            return base64.b64decode(rest.strip(), validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return ""


def _unframed(send: Send) -> Send:
    """The same, with `UNFRAMED` among the headers."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", ()), *UNFRAMED]}
        await send(message)

    return sent


def _no_door(asked: Asked) -> Response | None:
    return None if DOORS.fullmatch(asked.scope["path"]) else PlainTextResponse("Not found.", 404)


def host_name(host: str) -> str:
    """The name in a `Host` header, without port and brackets; empty where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        return (parts.hostname or "") if not (parts.path or parts.query or parts.fragment or parts.username) else ""
    except ValueError:
        return ""


def _same(given: str, wanted: str) -> bool:
    return secrets.compare_digest(given.encode(), wanted.encode())


def _with_cookie(asked: Asked, token: str) -> Response:
    """To the same page without the token in its address, which would stay in the browser's history."""
    rest = urlencode([(name, value) for name, value in asked.query if name != "token"])
    path = "/" + asked.scope["path"].lstrip("/")
    answer = RedirectResponse(path + (f"?{rest}" if rest else ""), 303)
    answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
    return answer
