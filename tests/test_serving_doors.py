"""Who gets in: keys, pages, sizes and times of requests. Over real HTTP, on an engine that only echoes."""

import asyncio
import shutil
import ssl
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from serving_engines import Echo, raw, said, served
from swift_plugin_runtime.inference.engine import own_sampling
from swift_plugin_serving.component import drawn_as_own, is_loopback, said_of
from swift_plugin_serving.gate import Keys
from swift_plugin_serving.server import running_server
from swift_plugin_serving.settings import keys_of
from transformers import GenerationConfig

from swift_core import SwiftError
from swift_core.contract.engine import Sampling
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def locked():
    """A server with two keys, small bodies and little patience."""
    told = {"api_keys": ("sesame", "schlüssel"), "max_body_mb": 0.1, "request_seconds": 1, "max_inputs": 4}
    with served(allowed_origins=("https://page.example",), **told) as client:
        yield client


@pytest.fixture(scope="module")
def inside(locked):
    """Headers of one who has a key."""
    return {"authorization": "Bearer sesame"}


@pytest.mark.parametrize("host", ["a", "a?", "a/?", "a#", "a/health?", "x/health", "[::1]?/health#"])
@pytest.mark.parametrize("path", ["/v1/models", "/openapi.json", "/metrics", "//v1/models", "/health/../v1/models"])
def test_no_host_header_opens_a_door(locked, host, path):
    answer = raw(locked, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert answer.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))
    assert b"owned_by" not in answer


def test_the_key_is_decided_on_the_path_that_routes():
    """Older starlette makes `request.url` of the Host header; the router reads `scope["path"]`, whatever it is."""
    reached, told = [], []

    async def app(scope, receive, send):
        reached.append(scope["path"])

    async def send(message):
        told.append(message.get("status"))

    scope = {"type": "http", "path": "/v1/models", "headers": [(b"host", b"a/health?")], "method": "GET"}
    asyncio.run(Keys(app, ("sesame",))(scope, None, send))
    assert (reached, told[0]) == ([], 401)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"authorization": "Bearer sesame"}, 200),
        ({"authorization": "bearer sesame"}, 200),
        ({"authorization": "Bearer schlüssel".encode()}, 200),
        ({"x-api-key": "sesame"}, 200),
        ({"authorization": "sesame"}, 401),
        ({"authorization": "Basic sesame"}, 401),
        ({"authorization": "Bearer sesam"}, 401),
        ({"authorization": "Bearer"}, 401),
        ({"x-api-key": ""}, 401),
    ],
)
def test_several_keys(locked, headers, status):
    answer = locked.get("/v1/models", headers=headers)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["error"]["code"] == "invalid_api_key"


def test_health_is_open_and_repeats_nothing(locked):
    for path in ("/health", "/health/", "/ping"):
        answer = raw(locked, f"GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
        assert b"evil" not in answer
    assert locked.get("/health").json() == {"status": "ok"}
    assert locked.get("/docs").status_code == 401


def test_keys_from_a_file_and_a_variable(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text("# of the team\none\n\n two \n")
    monkeypatch.setenv("SWIFT_API_KEY", "three, one")
    assert keys_of("zero", str(file)) == ("zero", "three", "one", "two")
    file.write_text("# none\n")
    with pytest.raises(SwiftError, match="holds no key"):
        keys_of(None, str(file))
    with pytest.raises(SwiftError, match="cannot be read"):
        keys_of(None, str(tmp_path / "nothing"))


def test_pages_that_may_ask(locked):
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    known = locked.options(CHAT, headers={"origin": "https://page.example", **ask})
    assert (known.status_code, known.headers["access-control-allow-origin"]) == (200, "https://page.example")
    other = locked.options(CHAT, headers={"origin": "https://other.example", **ask})
    assert other.status_code == 400
    assert "access-control-allow-origin" not in other.headers


# -- sizes and times --------------------------------------------------------------------------------------
def test_a_large_body_is_413_before_it_is_read(locked, inside):
    assert locked.post(CHAT, json=said("x" * 50_000), headers=inside).status_code == 200
    answer = locked.post(CHAT, json=said("x" * 200_000), headers=inside)
    assert (answer.status_code, "max_body_mb" in answer.json()["error"]["message"]) == (413, True)
    parts = (b" " * 50_000 for _ in range(4))
    assert locked.post(CHAT, content=parts, headers=inside).status_code == 413
    announced = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sesame\r\n"
    assert b"413" in raw(locked, announced + b"Content-Length: 99999999999\r\n\r\n", enough=20)[:20]
    locked_out = b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n"
    assert b"401" in raw(locked, locked_out, enough=20)[:20]


HALVES = (
    b"",
    b"GET /hea",
    b"GET /health HTTP/1.1\r\nHost: a\r\n",
    b"GET /health HTTP/1.1\r\nHost: a\r\n\r\nGET /health HT",
    b"POST /v1/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sesame\r\nContent-Length: 90\r\n\r\n{",
)


def test_half_a_request_is_not_waited_for(locked):
    """All of them at once, as the time passes for each."""
    begin = time.monotonic()
    with ThreadPoolExecutor(len(HALVES)) as pool:
        answers = list(pool.map(lambda half: raw(locked, half, seconds=8), HALVES))
    assert time.monotonic() - begin < 7
    for half, answer in zip(HALVES, answers, strict=True):
        assert b"[still open]" not in answer, half
        assert (b" 408 " in answer) == half.startswith(b"POST"), half


def test_one_request_asks_for_so_many_answers(locked, inside):
    few = {"prompt": ["a", "b"], "n": 2}
    assert len(locked.post("/v1/completions", json=few, headers=inside).json()["choices"]) == 4
    many = locked.post("/v1/completions", json={**few, "n": 3}, headers=inside)
    assert (many.status_code, "6 answers" in many.json()["error"]["message"]) == (400, True)


def test_a_long_text_is_refused_before_it_is_tokenized():
    class Small(Echo):
        window = 10

        class tokenizer:
            def get_vocab():
                return {"hello": 0, "a": 1}

        @staticmethod
        def prepared(request):
            assert len(str(request.prompt or "")) < 60, "it must not come so far"
            return request

    with served(Small()) as client:
        assert client.post("/v1/completions", json={"prompt": "x" * 50}).status_code == 200
        for path, body in (("/v1/completions", {"prompt": "x" * 51}), (CHAT, said("x" * 51))):
            error = client.post(path, json=body).json()["error"]
            assert (error["code"], "51 characters" in error["message"]) == ("context_length_exceeded", True)


def test_https(tmp_path):
    names = {"ssl_certfile": str(tmp_path / "cert.pem"), "ssl_keyfile": str(tmp_path / "key.pem")}
    made = "openssl req -x509 -nodes -newkey rsa:2048 -days 1 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1"
    words = [*made.split(), "-out", names["ssl_certfile"], "-keyout", names["ssl_keyfile"]]
    if not shutil.which("openssl"):
        pytest.skip("makes its certificate with openssl")
    subprocess.run(words, check=True, capture_output=True)
    with running_server(Echo(), **names) as url:
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=names["ssl_certfile"])
        assert httpx.get(url + "/health", verify=trusted).json() == {"status": "ok"}
        with pytest.raises(httpx.ConnectError):
            httpx.get(url + "/health")


# -- failures ---------------------------------------------------------------------------------------------
def test_a_bug_is_500_without_its_words_and_the_connection_lives(caplog):
    with served() as client:
        answer = client.post(CHAT, json=said("bug"))
        assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
        assert "secret" not in answer.text
        assert "a secret of the engine" in caplog.text
        assert answer.headers.get("connection") != "close"
        assert client.post(CHAT, json=said("well")).json()["choices"][0]["message"]["content"] == "well "


@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (CHAT, b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "lone surrogate"),
        (CHAT, b'{"messages": [{"role": "user", "content": "a"}], "stop": "\\udfff"}', "lone surrogate"),
        (CHAT, b'{"\\ud800": 1}', "lone surrogate"),
        (CHAT, b"[" * 100_000, "body"),
        (CHAT, b"\xff\xfe", "body"),
        ("/v1/completions", b'{"prompt": ' + b"1" * 5000 + b"}", "body"),
        ("/v1/completions", b'{"prompt": [1.5]}', "prompt"),
        ("/v1/completions", b'{"prompt": [true]}', "prompt"),
        ("/v1/completions", b'{"prompt": "a", "temperature": NaN}', "temperature"),
        (CHAT, b'{"messages": [{"role": "user", "content": "a"}], "tools": [{}]}', "a tool is a function"),
        (CHAT, b'{"messages": [{"role": "user", "content": "a"}], "tools": [{"function": {"name": 5}}]}', "name"),
    ],
)
def test_odd_bodies_are_400(url, path, body, words):
    answer = url.post(path, content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, words in answer.json()["error"]["message"]) == (400, True), answer.text


def test_a_tool_answers_with_any_json(url):
    """Found by the fuzzer: numbers and words in a list are no content parts, and no mistake."""
    for content in ([1, "a", None], [{"type": "image_url"}, 5], {"a": [1]}, []):
        turns = [{"role": "user", "content": "a"}, {"role": "tool", "content": content}]
        assert url.post(CHAT, json={"messages": turns}).status_code == 200


@pytest.fixture(scope="module")
def url():
    """A client of a server that anybody may ask."""
    with served() as client:
        yield client


@pytest.mark.parametrize(
    ("told", "param"),
    [
        ({"top_k": -1, "top_p": 0, "min_p": 0, "logit_bias": {}}, None),
        ({"presence_penalty": 0, "skip_special_tokens": True}, None),
        ({"user": "u", "metadata": {"a": "b"}, "prompt_cache_retention": "24h", "prediction": {"x": 1}}, None),
        ({"modalities": ["text"], "verbosity": "medium", "reasoning_effort": "low", "cache_salt": "s"}, None),
        ({"n": 2, "best_of": 2}, None),
        ({"verbosity": "low"}, "verbosity"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"allowed_token_ids": [1]}, "allowed_token_ids"),
        ({"guided_regex": "a+"}, "guided_regex"),
        ({"guided_json": {}}, "guided_json"),
        ({"tool_choice": "required", "tools": [TOOL]}, "tool_choice"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"min_tokens": 2}, "min_tokens"),
        ({"logprobs": True}, "logprobs"),
        ({"echo": True}, "echo"),
        ({"logprobs": 0}, None),
        ({"add_special_tokens": True}, "add_special_tokens"),
        ({"add_special_tokens": False, "include_reasoning": True}, None),
        ({"include_reasoning": False}, "include_reasoning"),
        ({"best_of": 3}, "best_of"),
    ],
)
def test_fields_of_other_servers_are_neutral_or_refused_by_name(url, told, param):
    answer = url.post(CHAT, json=said("hi", **told))
    assert answer.status_code == (400 if param else 200), answer.text
    if param:
        assert answer.json()["error"]["param"] == param
        assert param in answer.json()["error"]["message"]


def test_a_prompt_is_tokenized_as_it_is(url):
    """The other way round than a conversation, whose template has written what is special."""
    for special, status in ((True, 200), (False, 400)):
        answer = url.post("/v1/completions", json={"prompt": "a", "add_special_tokens": special})
        assert (answer.status_code, "add_special_tokens" in answer.text) == (status, status == 400)


def test_what_clients_leave_out_is_drawn_as_the_checkpoint_says():
    assert own_sampling(GenerationConfig(do_sample=True, top_p=0.9)) == {"temperature": 1.0, "top_p": 0.9}
    assert own_sampling(GenerationConfig(temperature=0.6, top_k=20)) == {"temperature": 0.6, "top_k": 20}
    assert own_sampling(GenerationConfig(do_sample=False, temperature=0.6)) == {"temperature": 0.0}
    assert own_sampling(GenerationConfig()) == {}
    engine = Echo()
    with pytest.raises(SwiftError, match="--own_sampling"):
        drawn_as_own(engine, Sampling())
    engine.own_sampling = {"temperature": 0.6, "top_k": 20}
    drawn = drawn_as_own(engine, Sampling(top_k=5, max_new_tokens=7))
    assert drawn == Sampling(temperature=0.6, top_k=5, max_new_tokens=7)
    assert said_of(drawn) == "max_new_tokens 7, temperature 0.6, top_k 5"


# -- the command ------------------------------------------------------------------------------------------
def test_what_the_command_says(tmp_path, qwen2, capsys):
    def opened(**told):
        job = prepare("deploy", [Given(k, v, "t") for k, v in {"model": qwen2, "port": 0, **told}.items()])
        return job.hook.open_server(job=job)

    with opened(host="0.0.0.0"):
        assert "Whoever reaches 0.0.0.0 may ask" in "".join(capsys.readouterr())
    with opened(host="0.0.0.0", api_key="sesame", grace_seconds=2.5) as server:
        assert "Whoever" not in "".join(capsys.readouterr())
        assert (server.told["api_keys"], server.told["grace_seconds"]) == (("sesame",), 2.5)
    file = tmp_path / "cert.pem"
    file.write_text("no certificate")
    for told in ({"ssl_certfile": str(file)}, {"ssl_keyfile": str(file)}):
        with pytest.raises(SwiftError, match="ssl_"):
            opened(**told)
    assert [is_loopback(h) for h in ("127.0.0.1", "localhost", "::1", "0.0.0.0", "host")] == [1, 1, 1, 0, 0]
