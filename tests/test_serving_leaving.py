"""Clients that leave, and a server that ends: work stops, and nobody is left without a word."""

import json
import os
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import httpx
import pytest
from serving_engines import Echo, raw, said, served, until
from swift_plugin_serving.server import running_server, serve

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


@pytest.fixture(scope="module")
def engine():
    """The engine of `client`."""
    return Echo()


@pytest.fixture(scope="module")
def client(engine):
    """A client of a server that answers two requests at a time."""
    with served(engine, max_batch_size=2) as client:
        yield client


def _leave(client, path, body):
    """Hang up half a second after asking."""
    with suppress(httpx.ReadTimeout), client.stream("POST", path, json=body, timeout=0.5):
        time.sleep(0.5)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, said("slow 3000")),
        (CHAT, said("slow 3000", stream=True)),
        (CHAT, said("slow 3000", tools=[TOOL])),
        (CHAT, said("slow 3000", tools=[TOOL], stream=True)),
        (CHAT, said("slow 3000", n=3)),
        (CHAT, said("slow 3000", n=3, stream=True)),
        ("/v1/completions", {"prompt": ["slow 3000", "slow 3000"]}),
    ],
)
def test_work_stops_when_the_client_leaves(engine, client, path, body):
    _leave(client, path, body)
    stopped, seconds = until(lambda: engine.running == 0, 5)
    assert stopped
    assert seconds < 2  # one at this speed; some for a busy machine
    before = engine.said
    assert client.post(CHAT, json=said("hello")).status_code == 200
    assert engine.said <= before + 3 + 1  # copies that had not begun say a word each and stop


def test_others_are_not_touched(client):
    with ThreadPoolExecutor(12) as pool:
        leaving = [pool.submit(_left, client, n % 2 == 0) for n in range(6)]
        staying = [pool.submit(client.post, CHAT, json=said(f"word {n}")) for n in range(6)]
        assert [f.result().json()["choices"][0]["message"]["content"] for f in staying] == [
            f"word {n} " for n in range(6)
        ]
        assert all(f.result() for f in leaving)


def _left(client, stream):
    try:
        client.post(CHAT, json=said("slow 50", stream=stream), timeout=0.2)
    except httpx.TimeoutException:
        return True
    return stream


# -- the end of the server --------------------------------------------------------------------------------
def events(text):
    return [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]


def at_the_end(bodies, grace, many=1):
    """The answers to requests during which the server is told to stop, and how long it took.

    many: how many of them run by then; the others wait.
    """
    engine = Echo()
    with ThreadPoolExecutor(len(bodies)) as pool:
        with running_server(engine, grace_seconds=grace, max_batch_size=many) as url:
            asked = [pool.submit(httpx.post, url + CHAT, json=bodies[0], timeout=60)]
            assert until(lambda: engine.said > 0)[0]
            asked += [pool.submit(httpx.post, url + CHAT, json=body, timeout=60) for body in bodies[1:]]
            time.sleep(1)
            begin = time.monotonic()
        return [future.result() for future in asked], time.monotonic() - begin


def test_what_runs_may_end_within_the_grace():
    (whole, streamed), seconds = at_the_end([said("slow 90"), said("slow 20", stream=True)], grace=40)
    assert whole.json()["choices"][0]["message"]["content"] == "more " * 90
    assert events(streamed.text)[-1] == "[DONE]"
    assert json.loads(events(streamed.text)[-2])["choices"][0]["finish_reason"] == "stop"
    assert seconds < 35


def test_after_the_grace_everybody_is_told():
    bodies = [said("slow 3000"), said("slow 3000", tools=[TOOL], stream=True), said("queued")]
    answers, seconds = at_the_end(bodies, grace=0.5)
    for answer in answers:
        assert answer.status_code == 503
        assert answer.json()["error"]["message"] == "The server is shutting down."
        assert answer.json()["error"]["code"] == "server_shutting_down"
    assert seconds < 20
    (streamed,), _ = at_the_end([said("slow 3000", stream=True)], grace=0.2)
    assert streamed.status_code == 200
    error, done = events(streamed.text)[-2:]
    assert (json.loads(error)["error"]["code"], done) == ("server_shutting_down", "[DONE]")


def test_no_new_work_while_the_server_ends():
    engine = Echo()
    with ThreadPoolExecutor(2) as pool, running_server(engine, grace_seconds=40) as url:
        kept = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])))
        kept.sendall(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"200" in kept.recv(4096)
        asked = pool.submit(httpx.post, url + CHAT, json=said("slow 50"), timeout=30)
        assert until(lambda: engine.said > 0)[0]
    assert asked.result().status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + "/health")
    kept.settimeout(5)
    while kept.recv(4096):  # the rest of the answer, until the server hangs up
        pass
    kept.close()


def test_a_second_signal_is_in_a_hurry(capsys):
    def signals():
        time.sleep(1)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    def ask():
        time.sleep(0.5)
        url = capsys.readouterr().out.split()[-1]
        return httpx.post(url + CHAT, json=said("slow 3000"), timeout=60)

    with ThreadPoolExecutor(2) as pool:
        begin = time.monotonic()
        pool.submit(signals)
        asked = pool.submit(ask)
        serve(Echo(), port=0, grace_seconds=60)
        assert asked.result().status_code == 503
    assert time.monotonic() - begin < 15


def test_the_log_is_quiet(caplog):
    at_the_end([said("slow 3000", stream=True), said("slow 3000")], grace=0.2)
    with served() as client:
        raw(client, b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 90\r\n\r\n{", seconds=0.2)
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []
