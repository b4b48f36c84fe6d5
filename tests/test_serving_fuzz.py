"""Many requests that nobody should send, and many clients at once, against a real model.

`SWIFT_FUZZ_REQUESTS=10000` and `SWIFT_SOAK_SECONDS=600` make it long (`make test-soak`).
"""

import ctypes
import logging
import os
import random
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import psutil
import pytest
from serving_engines import raw, until
from serving_fuzz import shots
from swift_plugin_serving.server import running_server
from swift_testing.serving import random_lora
from swift_testing.tiny import tiny_qwen2

from swift_core.contract.engine import Sampling
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

REQUESTS = int(os.environ.get("SWIFT_FUZZ_REQUESTS", "300"))
SOAK = float(os.environ.get("SWIFT_SOAK_SECONDS", "5"))
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A tiny model with random weights and one adapter; a small window bounds what any request may cost."""
    folder = tmp_path_factory.mktemp("fuzz")
    model = tiny_qwen2(folder / "model")
    lora = random_lora(model, folder / "lora")
    return {"model": model, "adapters": lora, "template": "chatml", "agent": "hermes", "max_length": 128}


@pytest.fixture(scope="module")
def url(given):
    """A server in this process."""
    job = prepare("deploy", [Given(k, v, "t") for k, v in given.items()])
    engine = job.hook.start_engine(job=job)
    with running_server(engine, defaults=Sampling(max_new_tokens=4), request_seconds=2) as url:
        yield url


@pytest.fixture
def apart(given, tmp_path):
    """(address, process id) of `swift deploy`: what it uses is not what its clients use."""
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    command = [sys.executable, "-m", "swift_core", "deploy", "--port", "0", *words]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True) as server,
    ):
        yield server.stdout.readline().split()[-1], server.pid
        server.terminate()


class Used:
    """Memory, files and threads of a process; `back`: are they where they were?

    What this process's C library keeps for each of many threads, although nobody holds it, is given back before.
    """

    def __init__(self, pid=None):
        self.process = psutil.Process(pid)
        self.memory, self.files, self.threads = self.now()

    def now(self):
        getattr(ctypes.CDLL(None), "malloc_trim", int)(0)
        return self.process.memory_info().rss, self.process.num_fds(), self.process.num_threads()

    def back(self, megabytes, more=12):
        memory, files, threads = self.now()
        return memory < self.memory + megabytes * 2**20 and files <= self.files + 4 and threads <= self.threads + more


def fire(client, shot):
    """The status of the answer to a request; 0 for raw bytes, whatever comes back."""
    if shot.raw is not None:
        assert b" 500 " not in raw(client, shot.raw, seconds=0.3)[:20], shot
        return 0
    try:
        answer = client.request(shot.method, shot.path, content=shot.content, headers=shot.headers)
    except httpx.TimeoutException:
        pytest.fail(f"no answer to {shot}")
    assert answer.status_code < 500, (shot, answer.text)
    if answer.status_code >= 400 and shot.method != "HEAD":
        assert set(answer.json()) in ({"error"}, {"type", "error"}), (shot, answer.text)
    return answer.status_code


def test_no_request_is_a_bug(url, caplog):
    """No 500, no traceback, no hang, and nothing kept."""
    caplog.set_level(logging.ERROR)
    with httpx.Client(base_url=url, timeout=120) as client, ThreadPoolExecutor(4) as pool:
        for shot in shots(seed=1, count=100):  # caches fill
            fire(client, shot)
        used = Used()
        statuses = Counter(pool.map(lambda shot: fire(client, shot), shots(seed=2, count=REQUESTS)))
        assert client.post(CHAT, json={"messages": [{"role": "user", "content": "hi"}]}).status_code == 200
    print(statuses)
    assert statuses[200] and statuses[400]
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []
    assert until(lambda: used.back(megabytes=60))[0], (used.now(), used.__dict__)


def visit(url, model, draw, known):
    """One client: asks a few times and may leave in between. Returns what it saw, `lost` for what must not be."""
    seen = Counter()
    with httpx.Client(base_url=url, timeout=120) as client:
        for _ in range(2):
            stream, leaves = draw.random() < 0.5, draw.random() < 0.25
            name = draw.choice((model, "lora"))
            body = {"model": name, "messages": [{"role": "user", "content": "hi there"}], "max_tokens": 12}
            seen[_asked(client, {**body, "stream": stream}, leaves, known.get((name, stream)))] += 1
    return seen


def _asked(client, body, leaves, known):
    if leaves:
        try:
            client.post(CHAT, json=body, timeout=0.1)
        except httpx.TimeoutException:
            return "left"
        return "left late"
    answer = client.post(CHAT, json=body)
    good = answer.status_code == 200 and (known is None or said_by(answer, body["stream"]) == known)
    return "answered" if good else "lost"


def said_by(answer, stream):
    """What the model said, whole or in pieces, with nothing missing at the end."""
    if not stream:
        return answer.json()["choices"][0]["message"]["content"]
    lines = [line[6:] for line in answer.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    chunks = [httpx.Response(200, text=line).json()["choices"][0] for line in lines[:-1]]
    assert chunks[-1]["finish_reason"]
    return "".join(chunk["delta"].get("content") or "" for chunk in chunks)


def test_clients_that_leave_lose_nobody_else_an_answer(apart):
    """64 clients at a time, for as long as the soak lasts: every one who stays has the answer that is due."""
    url, pid = apart
    model = httpx.get(f"{url}/v1/models").json()["data"][0]["id"]
    known = {}
    with httpx.Client(base_url=url, timeout=60) as client:
        for name in (model, "lora"):
            body = {"model": name, "messages": [{"role": "user", "content": "hi there"}], "max_tokens": 12}
            known[name, False] = known[name, True] = said_by(client.post(CHAT, json=body), stream=False)
    seen, end, number, used = Counter(), time.monotonic() + SOAK, 0, None
    with ThreadPoolExecutor(64) as pool:
        while used is None or time.monotonic() < end:
            draws = [random.Random(number + n) for n in range(64)]
            for one in pool.map(lambda draw: visit(url, model, draw, known), draws):
                seen += one
            number += 64
            used = used or Used(pid)  # the first round starts what a server with 64 clients has
    print(seen, used.now())
    assert seen["lost"] == 0
    assert seen["answered"]
    assert seen["left"] + seen["left late"]
    # a pool keeps as many threads as clients ever were there at once; a leak grows with the requests
    assert until(lambda: used.back(megabytes=60, more=64), 20)[0], (used.now(), used.__dict__)
