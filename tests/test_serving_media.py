"""Media that clients send to a server: what is read, what is refused, and how little a refusal tells.

Hosts are real HTTP servers on loopback addresses. Those are never asked, so tests of what may be fetched declare one
of them public; another one stays private.
"""

import base64
import io
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image
from serving_engines import Echo, said, served
from swift_plugin_serving import media

CHAT = "/v1/chat/completions"


def png(width=8, height=8):
    stream = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(stream, "PNG")
    return stream.getvalue()


def data(content, sort="image/png"):
    return f"data:{sort};base64,{base64.b64encode(content).decode()}"


class Looker(Echo):
    """Says what media it was given."""

    def _say(self, place, request, listen):
        row = request.row
        seen = [f"{i.mode} {i.size}" for i in row.images] + [str(len(a)) for a in (*row.audios, *row.videos)]
        request.row.messages[-1]["content"] = ";".join(seen) or "none"
        return super()._say(place, request, listen)


class Host(BaseHTTPRequestHandler):
    """Pictures, redirects, and answers that do not end."""

    asked = []

    def do_GET(self):
        self.asked.append(self.path)
        what, _, rest = self.path[1:].partition("/")
        getattr(self, what)(rest)

    def answer(self, content, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    def picture(self, _):
        self.answer(png())

    def page(self, _):
        self.answer(b"<html>secret</html>")

    def missing(self, _):
        self.answer(b"", 404)

    def to(self, address):
        self.answer(b"", 302, Location=address)

    def endless(self, _):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x" * 65536)
        except OSError:
            pass

    def slow(self, _):
        self.send_response(200)
        self.end_headers()
        try:
            while True:
                self.wfile.write(b"x")
                time.sleep(0.2)
        except OSError:
            pass

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def host():
    """The port of a host that listens on every loopback address."""
    server = ThreadingHTTPServer(("0.0.0.0", 0), Host)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def closed():
    """A server that fetches nothing."""
    with served(Looker(), max_media_mb=0.5, max_image_pixels=1000 * 1000) as client:
        yield client


@pytest.fixture(scope="module")
def fetching():
    """A server that fetches from any public host, and takes no more than a second."""
    with served(Looker(), allowed_media_domains=("*",), max_media_mb=1, media_seconds=1.5) as client:
        yield client


def ask(client, address, kind="image_url"):
    parts = [{"type": kind, kind: {"url": address}}, {"type": "text", "text": "What?"}]
    answer = client.post(CHAT, json={"messages": [{"role": "user", "content": parts}]})
    return answer.status_code, answer.json()


def seen(answer):
    return answer[1]["choices"][0]["message"]["content"].strip() if answer[0] == 200 else answer[1]["error"]["message"]


def test_data_uris_are_read(closed):
    assert seen(ask(closed, data(png(5, 7)))) == "RGB (5, 7)"
    assert seen(ask(closed, data(png()).replace("data:image/png", "DATA:image/PNG"))) == "RGB (8, 8)"
    sound = {"type": "input_audio", "input_audio": {"data": base64.b64encode(b"RIFF1234").decode(), "format": "wav"}}
    answer = closed.post(CHAT, json={"messages": [{"role": "user", "content": [sound]}]})
    assert answer.json()["choices"][0]["message"]["content"] == "8 "


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("http://127.0.0.1:1/x", "fetches no addresses"),
        ("HTTPS://example.org/x", "fetches no addresses"),
        ("file:///etc/passwd", "must be a data: URI"),
        ("/etc/passwd", "must be a data: URI"),
        ("ftp://example.org/x", "must be a data: URI"),
        (" http://example.org", "must be a data: URI"),
        (None, "image"),
        (5, "must be a data: URI"),
        ("data:image/png;base64,AAAA", "not an image"),
        ("data:image/png;base64,A", "no base64"),
        ("data:image/png,AAAA", "data:TYPE;base64"),
        (data(b"x" * 600_000), "max_media_mb"),
        (data(png(1001, 1000)), "1001×1000 pixels"),
    ],
)
def test_what_is_refused(closed, address, words):
    status, body = ask(closed, address)
    assert (status, words in body["error"]["message"]) == (400, True), body


def test_a_part_without_its_medium_is_refused(closed):
    for part in ({"type": "image_url"}, {"type": "image_url", "image_url": {}}, {"type": "input_audio"}):
        answer = closed.post(CHAT, json={"messages": [{"role": "user", "content": [part]}]})
        assert answer.status_code == 400 and "holds none" in answer.json()["error"]["message"], part


def test_a_picture_of_many_pixels_is_refused_by_its_head(closed):
    stream = io.BytesIO()
    Image.new("1", (13_000, 13_000)).save(stream, "PNG")
    assert "13000×13000 pixels" in seen(ask(closed, data(stream.getvalue())))


ALIKE = "image 1: its address gives no image that this server takes."


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:{port}/picture/1",
        "http://localhost:{port}/picture/1",
        "http://127.0.0.1:1/x",
        "http://127.0.0.1:22/x",
        "http://[::1]:{port}/picture/1",
        "http://[::ffff:127.0.0.1]:{port}/picture/1",
        "http://0.0.0.0:{port}/picture/1",
        "http://2130706433:{port}/picture/1",
        "http://127.1:{port}/picture/1",
        "http://0177.0.0.1:{port}/picture/1",
        "http://10.0.0.1/x",
        "http://169.254.169.254/latest/meta-data",
        "http://user@127.0.0.1:{port}/picture/1",
        "http://no.such.host.invalid/x",
        "http://a b/x",
        "http://127.0.0.1:99999/x",
        "http://",
        "http://example.org\r\nX: y/",
        "http://[bad",
    ],
)
def test_private_addresses_are_not_asked_and_all_look_alike(fetching, host, address):
    Host.asked.clear()
    status, body = ask(fetching, address.format(port=host))
    assert (status, body["error"]["message"], Host.asked) == (400, ALIKE, [])


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("192.168.0.1", False),
        ("172.16.0.1", False),
        ("100.64.0.1", False),
        ("169.254.1.1", False),
        ("224.0.0.1", False),
        ("0.0.0.0", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:10.0.0.1", False),
        ("2002:7f00:1::", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_public_addresses(address, public):
    assert media.is_public(address) is public


@pytest.fixture
def one_public(monkeypatch):
    """127.0.0.1 is taken for a public address, and no other one of this machine is."""
    monkeypatch.setattr(media, "is_public", lambda address: address == "127.0.0.1")


def test_what_may_be_fetched(fetching, host, one_public):
    here = f"http://127.0.0.1:{host}"
    assert seen(ask(fetching, f"{here}/picture/1")) == "RGB (8, 8)"
    assert seen(ask(fetching, f"{here.upper()}/picture/1")) == "RGB (8, 8)"
    assert seen(ask(fetching, f"{here}/to/{here}/picture/2")) == "RGB (8, 8)"
    assert seen(ask(fetching, f"{here}/to//picture/2")) == "RGB (8, 8)"


@pytest.mark.parametrize(
    "path",
    [
        "page/",
        "missing/",
        "endless/",
        "slow/",
        "to/http://127.0.0.2:{port}/picture/hidden",
        "to/http://localhost.:1/picture/hidden",
        "to/ftp://127.0.0.1:{port}/picture/hidden",
        "to/file:///etc/passwd",
        "to/http://127.0.0.1:{port}/to/http://127.0.0.2:{port}/picture/hidden",
        "to/",
    ],
)
def test_what_answers_is_not_told(fetching, host, one_public, path):
    begin = time.monotonic()
    Host.asked.clear()
    status, body = ask(fetching, f"http://127.0.0.1:{host}/{path.format(port=host)}")
    assert (status, body["error"]["message"]) == (400, ALIKE)
    assert "/picture/hidden" not in Host.asked
    assert time.monotonic() - begin < 5


def test_a_slow_host_delays_nobody_else(fetching, host, one_public):
    waiting = threading.Thread(target=ask, args=(fetching, f"http://127.0.0.1:{host}/slow/"))
    waiting.start()
    time.sleep(0.2)
    begin = time.monotonic()
    assert fetching.post(CHAT, json=said("hi")).status_code == 200
    assert time.monotonic() - begin < 1
    assert waiting.is_alive()
    waiting.join()


def test_only_named_hosts(host, one_public):
    with served(Looker(), allowed_media_domains=("127.0.0.1", ".example.org")) as client:
        here = f"http://127.0.0.1:{host}"
        assert seen(ask(client, f"{here}/picture/1")) == "RGB (8, 8)"
        for other in ("http://example.org/", "http://evil-127.0.0.1/", "http://example.org.evil.net/"):
            assert "--allowed_media_domains" in seen(ask(client, other))
        assert seen(ask(client, f"{here}/to/http://other.host:{host}/picture/1")) == ALIKE
        assert seen(ask(client, "http://no-such.example.org/")) == ALIKE


def test_the_address_that_was_checked_is_the_one_that_is_asked(monkeypatch, host):
    """A name that means something else a moment later (DNS rebinding) leads nowhere: it is looked up once."""
    looked = []
    real = socket.getaddrinfo

    def rebinding(name, *more, **told):
        if name != "rebind.example":
            return real(name, *more, **told)
        looked.append(name)
        return real("127.0.0.1" if len(looked) == 1 else "127.0.0.2", *more, **told)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(media, "is_public", lambda address: address == "127.0.0.1")
    with served(Looker(), allowed_media_domains=("rebind.example",)) as client:
        assert seen(ask(client, f"http://rebind.example:{host}/picture/1")) == "RGB (8, 8)"
        assert looked == ["rebind.example"]
        assert seen(ask(client, f"http://rebind.example:{host}/picture/1")) == ALIKE
