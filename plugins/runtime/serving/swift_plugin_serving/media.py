"""Media that clients send: read, limited and opened before a request goes near the engine.

A data URI is decoded here. An address is fetched only from the hosts of `--allowed_media_domains`, and only where
every address that the host's name stands for is a public one, on each hop of a redirect: otherwise a client could
make the server ask machines that only the server reaches (SSRF). The connection goes to the address that was
checked, not to the name, which may mean something else a moment later. What answered is not told: one sentence
covers a closed port, a page and a broken picture.
"""

from __future__ import annotations

import base64
import binascii
import io
import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpcore

from swift_core.contract.engine import Request
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.media import open_image
from swift_plugin_serving.settings import MEGABYTE, Settings

MOST_HOPS = 5
"""Redirects that are followed."""

REDIRECTS = (301, 302, 303, 307, 308)


class _Refused(Exception):
    """An address that gives nothing, whatever the reason."""


@dataclass(frozen=True)
class Rules:
    """Which media are taken. domains: hosts that may be asked, `*`: any. most: bytes. pixels: of an image."""

    domains: tuple[str, ...] = ()
    most: int = 32 * MEGABYTE
    pixels: int = 2**25
    seconds: float = 10

    @classmethod
    def of(cls, settings: Settings) -> Rules:
        """Those of a server."""
        domains = tuple(domain.lower().rstrip(".") for domain in settings.allowed_media_domains)
        most = int(settings.max_media_mb * MEGABYTE)
        return cls(domains, most, settings.max_image_pixels, settings.media_seconds)

    def allow(self, host: str) -> bool:
        """Whether a host may be asked: named itself, or below a name that begins with a dot."""
        named = (host == d or (d.startswith(".") and host.endswith(d)) for d in self.domains)
        return "*" in self.domains or any(named)


def open_media(request: Request, rules: Rules) -> Request:
    """The request with its media as images (PIL, RGB) and bytes. Raises SwiftError for media that are not taken."""
    row = request.row
    if not row.media:
        return request
    until = monotonic() + rules.seconds
    for kind in ("image", "video", "audio"):
        opened = [_opened(v, kind, n, rules, until) for n, v in enumerate(row.media.get(kind, []), 1)]
        setattr(row, f"{kind}s", opened)
    return request


def check_address(value: Any, where: str, rules: Rules) -> None:
    """SwiftError for a medium that could never be taken: neither a data URI nor an address of an allowed host."""
    if not isinstance(value, str):
        raise SwiftError(f"{where} must be a data: URI or an http(s) address.")
    scheme = value[:8].partition(":")[0].lower()
    if scheme == "data":
        return
    if scheme not in ("http", "https"):
        raise SwiftError(f"{where} must be a data: URI or an http(s) address.")
    if not rules.domains:
        raise SwiftError(f"{where}: this server fetches no addresses; send a data: URI (or start it with "
                         "--allowed_media_domains HOST).")  # fmt: skip
    if not rules.allow(_host(value)):
        raise SwiftError(f"{where}: the host is none of those that --allowed_media_domains names.")


def _host(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").lower().rstrip(".")
    except ValueError:
        return ""


def _opened(value: Any, kind: str, number: int, rules: Rules, until: float) -> Any:
    where = f"{kind} {number}"
    check_address(value, where, rules)
    if value[:5].lower() == "data:":
        return _readable(_decoded(value, where), kind, where, rules)
    try:
        return _readable(_fetched(value, rules, until), kind, where, rules)
    except (SwiftError, _Refused):
        raise SwiftError(f"{where}: its address gives no {kind} that this server takes.") from None


def _decoded(uri: str, where: str) -> bytes:
    head, comma, text = uri.partition(",")
    if not comma or not head.lower().endswith(";base64"):
        raise SwiftError(f"{where}: a data URI is written data:TYPE;base64,CONTENT.")
    try:
        return base64.b64decode(text, validate=not any(c in text for c in "\r\n "))
    except (binascii.Error, ValueError):
        raise SwiftError(f"{where}: what follows base64, in its data URI is no base64.") from None


def _readable(content: bytes, kind: str, where: str, rules: Rules) -> Any:
    """An image opened, after a look at its size; bytes of other kinds as they are, for the model's own readers."""
    if len(content) > rules.most:
        raise SwiftError(f"{where} has more than {rules.most} bytes, the most that --max_media_mb allows.")
    if kind != "image":
        return content
    _check_pixels(content, where, rules.pixels)
    return open_image(content, where)


def _check_pixels(content: bytes, where: str, most: int) -> None:
    """SwiftError for an image that is larger than it may be, before its pixels are made."""
    from PIL import Image

    try:
        width, height = Image.open(io.BytesIO(content)).size
    except Exception:  # whatever Pillow raises on junk: `open_image` says it in a sentence
        return
    if width * height > most:
        raise SwiftError(f"{where} has {width}×{height} pixels, more than the {most} of --max_image_pixels.")


# -- addresses -----------------------------------------------------------------------------------------------
def _fetched(address: str, rules: Rules, until: float) -> bytes:
    """What an address gives in the end. Raises _Refused."""
    for _ in range(MOST_HOPS + 1):
        if not address.lower().startswith(("http://", "https://")) or not rules.allow(_host(address)):
            raise _Refused
        found = _asked(address, rules, until)
        if isinstance(found, bytes):
            return found
        address = found
    raise _Refused


def _asked(address: str, rules: Rules, until: float) -> bytes | str:
    """The bytes behind an address, or where it sends us. Raises _Refused."""
    timeouts = dict.fromkeys(("connect", "read", "write", "pool"), _left(until))
    try:
        with (
            httpcore.ConnectionPool(network_backend=_Public(until)) as pool,
            pool.stream("GET", address, headers={"User-Agent": "swift-core"}, extensions={"timeout": timeouts}) as got,
        ):
            if got.status in REDIRECTS:
                headers = {name.lower(): value for name, value in got.headers}
                return urljoin(address, headers[b"location"].decode("latin-1"))
            if got.status != 200:
                raise _Refused
            return _bounded(got.iter_stream(), rules.most, until)
    except _Refused:
        raise
    except Exception as error:  # no name, no connection, no HTTP, an address that cannot be written: all the same
        raise _Refused from error


def _bounded(chunks: Iterable[bytes], most: int, until: float) -> bytes:
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > most:
            raise _Refused
        _left(until)
    return bytes(content)


def _left(until: float) -> float:
    """Seconds that are left. Raises _Refused where there are none."""
    left = until - monotonic()
    if left <= 0:
        raise _Refused
    return left


class _Public(httpcore.NetworkBackend):
    """Connects to public addresses only, and within the time. Names are looked up once, and what is found is asked."""

    def __init__(self, until: float):
        self.until, self.inner = until, httpcore.SyncBackend()

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *more: Any, **told: Any) -> Any:
        """A connection; each read waits no longer than the time that is left. Raises _Refused."""
        found = [str(place[0]) for *_, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        if not found or not all(map(is_public, found)):
            raise _Refused
        return _Timed(self.inner.connect_tcp(found[0], port, _left(self.until), *more, **told), self.until)


class _Timed(httpcore.NetworkStream):
    """A connection whose reads and writes share one deadline, so that a byte a second does not hold a thread."""

    def __init__(self, inner: httpcore.NetworkStream, until: float):
        self.inner, self.until = inner, until

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Bytes that come in time."""
        return self.inner.read(max_bytes, _left(self.until))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send in time."""
        self.inner.write(buffer, _left(self.until))

    def close(self) -> None:
        """Hang up."""
        self.inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> Any:
        """The same with encryption; the certificate must be the named host's."""
        return _Timed(self.inner.start_tls(ssl_context, server_hostname, _left(self.until)), self.until)

    def get_extra_info(self, info: str) -> Any:
        """As the connection says."""
        return self.inner.get_extra_info(info)


def is_public(address: str) -> bool:
    """Whether an IP address is one of the public internet, also where IPv6 wraps one of IPv4."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if isinstance(ip, ipaddress.IPv6Address) and ip in ipaddress.ip_network("64:ff9b::/96"):
        inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    return all(one.is_global and not one.is_multicast for one in (ip, inner) if one is not None)


def media_of(row: Row) -> Iterable[Any]:
    """All media of a row."""
    return [*row.images, *row.videos, *row.audios]
