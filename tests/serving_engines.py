"""Engines of a few lines and a server of any of them, for tests of the server alone."""

import socket
import time
from contextlib import contextmanager

import httpx
from swift_plugin_serving.server import running_server

from swift_core import SwiftError
from swift_core.contract.engine import Reply
from swift_core.inference.conversation import stream_one


class Echo:
    """Says back the last message, a word at a time. `slow N`: N words, one each 20 ms. Counts what it does."""

    def __init__(self):
        self.models, self.said, self.running = ["echo"], 0, 0

    def generate(self, requests, listen=None):
        return [self._say(place, request, listen) for place, request in enumerate(requests)]

    def _say(self, place, request, listen):
        text = request.row.messages[-1]["content"] if request.row.messages else str(request.prompt)
        if text == "bad":
            raise SwiftError("that is bad")
        if text == "bug":
            raise RuntimeError("a secret of the engine")
        slow = text.startswith("slow ")
        words = ["more"] * int(text.split()[1]) if slow else text.split(" ")
        said, self.running = "", self.running + 1
        for word in words:
            said, self.said = said + word + " ", self.said + 1
            if listen and not listen(place, word + " "):
                break
            time.sleep(0.02 if slow else 0)
        self.running -= 1
        return Reply(said, "stop", 1, said.count(" "))

    def stream(self, request):
        return stream_one(self, request)

    def close(self):
        pass


@contextmanager
def served(engine=None, **settings):
    """A client of httpx for a running server."""
    with running_server(engine or Echo(), **settings) as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def said(text, **more):
    """A body of /v1/chat/completions."""
    return {"messages": [{"role": "user", "content": text}], **more}


def raw(client, content, seconds=5.0, enough=1 << 30):
    """What the server sends back to raw bytes, until it closes, the time is over or `enough` bytes are there."""
    url = client.base_url
    with socket.create_connection((url.host, url.port), timeout=seconds) as connection:
        connection.sendall(content)
        answer = b""
        try:
            while len(answer) < enough and (piece := connection.recv(65536)):
                answer += piece
        except TimeoutError:
            answer += b"[still open]"
    return answer


def until(happens, seconds=10.0):
    """Wait until `happens()`; whether it did, and after how many seconds."""
    begin = time.monotonic()
    while not happens() and time.monotonic() - begin < seconds:
        time.sleep(0.01)
    return happens(), time.monotonic() - begin
