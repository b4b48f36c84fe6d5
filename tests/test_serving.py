"""Serving over real HTTP with the real OpenAI client, and the infer and deploy jobs, on a tiny trained model."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import openai
import pytest
from swift_plugin_serving.batcher import Batcher
from swift_plugin_serving.server import bind, running_server
from swift_testing.serving import LESSONS, WEATHER, random_lora, taught_qwen2
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.api import run
from swift_core.contract.engine import Guide, Reply, Sampling
from swift_core.inference.conversation import stream_one
from swift_core.inference.guided import check_kept
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

QUERIES = [row["query"] for row in LESSONS if "query" in row]
ANSWERS = [row["response"] for row in LESSONS if "query" in row]


class Recording:
    """An engine of twenty lines: says back what it hears, a word at a time, and keeps the sizes of its batches."""

    def __init__(self, models=("echo",), ready=None):
        self.models, self.sizes, self.ready = list(models), [], ready

    def generate(self, requests, listen=None):
        for request in requests:
            if request.row.messages and request.row.messages[-1]["content"] == "bad":
                raise SwiftError("that is bad")
            if request.row.messages and request.row.messages[-1]["content"] == "bug":
                raise RuntimeError("engine broke")
        if self.ready:
            self.ready.wait(30)
        self.sizes.append(len(requests))
        return [self._say(place, request, listen) for place, request in enumerate(requests)]

    def _say(self, place, request, listen):
        said = ""
        for word in request.row.messages[-1]["content"].split(" "):
            said += word + " "
            if listen and not listen(place, word + " "):
                break
        return Reply(said, "stop", 1, said.count(" "))

    def stream(self, request):
        return stream_one(self, request)

    def close(self):
        pass


def client(url, key="EMPTY"):
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60)


def said(text):
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A tiny Qwen2 that knows LESSONS by heart."""
    return taught_qwen2(tmp_path_factory.mktemp("taught"))


@pytest.fixture(scope="module")
def lora(taught, tmp_path_factory):
    """A LoRA folder called `lower`."""
    return random_lora(taught, tmp_path_factory.mktemp("loras") / "lower")


@pytest.fixture(scope="module")
def url(taught, lora):
    """A running server of the taught model and the adapter."""
    job = prepare("deploy", [Given("ckpt_dir", taught, "t"), Given("adapters", lora, "t")])
    engine = job.hook.start_engine(job=job)
    with running_server(engine, defaults=Sampling(max_new_tokens=60)) as address:
        yield address


# -- what a client sees -----------------------------------------------------------------------------------
def test_models_and_health(url, taught):
    assert [m.id for m in client(url).models.list()] == [Path(taught).name, "lower"]
    assert client(url).models.retrieve("lower").id == "lower"
    assert httpx.get(f"{url}/health").json() == {"status": "ok"}


def test_chat_and_its_count_of_tokens(url, taught):
    done = client(url).chat.completions.create(model=Path(taught).name, messages=said(QUERIES[3]))
    assert done.choices[0].message.content == ANSWERS[3]
    assert done.choices[0].finish_reason == "stop"
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens
    cut = client(url).chat.completions.create(model=Path(taught).name, messages=said(QUERIES[3]), max_tokens=2)
    assert (cut.choices[0].finish_reason, cut.usage.completion_tokens) == ("length", 2)
    newer = client(url).chat.completions.create(
        model=Path(taught).name, messages=said(QUERIES[0]), max_completion_tokens=50, stop=["like", "x"]
    )
    assert newer.choices[0].message.content == "Blue "


def test_streamed_chat_is_the_same_answer(url, taught):
    chunks = list(
        client(url).chat.completions.create(
            model=Path(taught).name, messages=said(QUERIES[3]), stream=True, stream_options={"include_usage": True}
        )
    )
    pieces = [c.choices[0].delta.content or "" for c in chunks if c.choices]
    assert "".join(pieces) == ANSWERS[3]
    assert len([p for p in pieces if p]) > 1
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens > 1


def test_adapter_by_name(url, taught):
    ask = client(url).chat.completions.create
    base, lower = (ask(model=m, messages=said(QUERIES[0]), max_tokens=20) for m in (Path(taught).name, "lower"))
    assert base.choices[0].message.content == ANSWERS[0] != lower.choices[0].message.content
    assert lower.model == "lower"


def test_concurrent_clients_of_base_and_adapter_get_their_own_answers(url, taught):
    ask = client(url).chat.completions.create
    jobs = [(q, model) for q in QUERIES for model in (Path(taught).name, "lower")]

    def answer(job):
        return ask(model=job[1], messages=said(job[0]), max_tokens=30).choices[0].message.content

    alone = [answer(job) for job in jobs]
    with ThreadPoolExecutor(len(jobs)) as pool:
        assert list(pool.map(answer, jobs)) == alone


@pytest.mark.parametrize("stream", [False, True])
def test_tool_call_and_its_result(url, taught, stream):
    ask = client(url).chat.completions.create
    asked = {"model": Path(taught).name, "tools": [WEATHER]}
    got = ask(messages=said("Weather in Paris?"), stream=stream, **asked)
    if stream:
        deltas = [c.choices[0] for c in got if c.choices]
        calls, *pieces = [call for d in deltas for call in d.delta.tool_calls or []]
        assert (calls.function.arguments, len(pieces) > 0) == ("", True)
        calls.function.arguments = "".join(piece.function.arguments for piece in pieces)
        calls = [calls]
        content = "".join(d.delta.content or "" for d in deltas)
        assert deltas[-1].finish_reason == "tool_calls"
    else:
        calls, content = got.choices[0].message.tool_calls, got.choices[0].message.content
        assert got.choices[0].finish_reason == "tool_calls"
    assert (calls[0].function.name, json.loads(calls[0].function.arguments)) == ("get_weather", {"city": "Paris"})
    assert content == "I look."
    call = {"id": calls[0].id, "type": "function", "function": calls[0].function.model_dump()}
    turns = [
        *said("Weather in Paris?"),
        {"role": "assistant", "content": "I look.\n", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
    ]
    assert ask(messages=turns, **asked).choices[0].message.content == "It rains."
    plain = ask(messages=said(QUERIES[0]), tool_choice="none", **asked)
    assert plain.choices[0].message.content == ANSWERS[0]


def test_n_seeds_and_sampling(url, taught):
    def ask(**more):
        return client(url).chat.completions.create(
            model=Path(taught).name, messages=said("Anything?"), temperature=2.0, max_tokens=20, **more
        )

    drawn = [c.message.content for c in ask(n=3, seed=5).choices]
    assert len(set(drawn)) == 3
    assert [c.message.content for c in ask(n=3, seed=5).choices] == drawn
    pieces = {0: "", 1: "", 2: ""}
    for chunk in ask(n=3, seed=5, stream=True):
        pieces[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert list(pieces.values()) == drawn


def test_how_tokens_are_drawn(url, taught):
    """Each field against the greedy answer that the model knows by heart."""

    def ask(query=QUERIES[0], **more):
        asked = {"messages": said(query), "max_tokens": 20, **more}
        return httpx.post(f"{url}/v1/chat/completions", json=asked, timeout=60).json()

    def ids(text):
        return httpx.post(f"{url}/tokenize", json={"prompt": text}).json()["tokens"]

    first, end = ids(ANSWERS[0])[0], ids("<|im_end|>")[0]
    other = ask(logit_bias={str(first): -100})["choices"][0]["message"]["content"]
    assert other != ANSWERS[0]
    assert ids(ask(logit_bias={"9": 100}, max_tokens=3)["choices"][0]["message"]["content"]) == [9, 9, 9]
    assert ask(temperature=2.0, min_p=1.0)["choices"][0]["message"]["content"] == ANSWERS[0]
    assert ask(stop_token_ids=[first])["choices"][0]["message"]["content"] == ""
    going_on = ask(ignore_eos=True)
    assert (going_on["choices"][0]["finish_reason"], going_on["usage"]["completion_tokens"]) == ("length", 20)
    assert ask()["usage"]["completion_tokens"] < 20
    assert ask(ignore_eos=True, stop_token_ids=[end])["usage"] == ask()["usage"]
    for wrong in ({"logit_bias": {"x": 1}}, {"logit_bias": {"999999": 1}}, {"logit_bias": {"1": 101}}):
        assert "logit_bias" in ask(**wrong)["error"]["message"]
    assert "stop_token_ids" in ask(stop_token_ids=[-1])["error"]["message"]


def test_adapters_come_and_go_by_request(taught, lora, tmp_path):
    """Below --lora_dir alone, by whoever has a key; what is answering stays."""
    root = tmp_path / "adapters"
    shutil.copytree(lora, root / "mine")
    shutil.copytree(lora, tmp_path / "outside")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "empty").mkdir()
    job = prepare("deploy", [Given("ckpt_dir", taught, "t")])
    engine, name = job.hook.start_engine(job=job), Path(taught).name
    with running_server(engine, lora_dir=str(root), api_key="sesame") as address:
        http = httpx.Client(base_url=f"{address}/v1", headers={"authorization": "Bearer sesame"}, timeout=60)

        def change(what, **body):
            return http.post(f"/{what}_lora_adapter", json=body)

        wanted = client(address, "sesame").chat.completions.create(model=name, messages=said(QUERIES[0]))
        for path in ("../outside", str(tmp_path / "outside"), "link", "empty", "nobody", "\x00", "mine/../../outside"):
            answer = change("load", lora_name="a", lora_path=path)
            assert (answer.status_code, answer.json()["error"]["param"]) == (400, "lora_path"), path
        loaded = change("load", lora_name="mine", lora_path="mine")
        assert (loaded.status_code, loaded.text) == (200, "Success: LoRA adapter 'mine' added successfully.")
        assert change("load", lora_name="mine", lora_path=str(root / "mine")).status_code == 400
        assert change("load", lora_name=name, lora_path="mine").status_code == 400
        assert [model["id"] for model in http.get("/models").json()["data"]] == [name, "mine"]
        ask = client(address, "sesame").chat.completions.create
        assert ask(model="mine", messages=said(QUERIES[0]), max_tokens=20).choices[0].message.content != ANSWERS[0]
        assert ask(model=name, messages=said(QUERIES[0])).choices[0].message == wanted.choices[0].message
        with ask(model="mine", messages=said("On and on"), max_tokens=3000, temperature=3, stream=True) as stream:
            next(iter(stream))
            assert change("unload", lora_name="mine").status_code == 409
        for _ in range(100):
            if (gone := change("unload", lora_name="mine", lora_int_id=1)).status_code != 409:
                break
            time.sleep(0.05)
        assert (gone.status_code, "removed" in gone.text) == (200, True)
        assert change("unload", lora_name="mine").status_code == 404
        assert ask(model=name, messages=said(QUERIES[0])).choices[0].message == wanted.choices[0].message
        with pytest.raises(openai.NotFoundError):
            ask(model="mine", messages=said("hi"))
        body = {"lora_name": "mine", "lora_path": "mine"}
        assert httpx.post(f"{address}/v1/load_lora_adapter", json=body).status_code == 401
    for told in ({"lora_dir": str(root)}, {"api_key": "sesame"}):
        with running_server(engine, **told) as address:
            answer = httpx.post(
                f"{address}/v1/load_lora_adapter", json=body, headers={"authorization": "Bearer sesame"}
            )
            assert (answer.status_code, "--lora_dir" in answer.json()["error"]["message"]) == (403, True)
    engine.close()


def test_plain_completions(url, taught):
    text = "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello"
    ask = client(url).completions.create
    other = "<|im_start|>user\nName a colour.<|im_end|>\n<|im_start|>assistant\n"
    done = ask(model=Path(taught).name, prompt=[text, other])
    assert [c.text for c in done.choices] == [", world!", ANSWERS[0]]
    assert "".join(c.choices[0].text for c in ask(model=Path(taught).name, prompt=text, stream=True)) == ", world!"


def test_images_come_as_data_uris(tmp_path):
    from PIL import Image

    job = prepare("deploy", [Given("model", tiny_qwen2_vl(tmp_path), "t")])
    stream = io.BytesIO()
    Image.new("RGB", (56, 56), "red").save(stream, "PNG")
    uri = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()
    with running_server(job.hook.start_engine(job=job)) as address:

        def ask(link):
            parts = [{"type": "image_url", "image_url": {"url": link}}, {"type": "text", "text": "What?"}]
            return client(address).chat.completions.create(
                model=tmp_path.name, messages=[{"role": "user", "content": parts}], max_tokens=4
            )

        text_alone = client(address).chat.completions.create(model=tmp_path.name, messages=said("What?"), max_tokens=4)
        assert ask(uri).usage.prompt_tokens > text_alone.usage.prompt_tokens + 2
        for wrong in ("data:image/png;base64,AAAA", "/etc/hostname", "file:///etc/hostname"):
            with pytest.raises(openai.BadRequestError):
                ask(wrong)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, "unknown role 'king'"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "the text of a content part"),
        ({"messages": said("x " * 5000)}, "the prompt has"),
        ({"temperature": -1}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"top_logprobs": 2}, "top_logprobs goes with logprobs=true"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"temprature": 1}, "unknown field 'temprature'. Did you mean 'temperature'?"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_input_is_400_in_openai_form(url, change, words, stream):
    answer = httpx.post(f"{url}/v1/chat/completions", json={"messages": said("hi"), "stream": stream, **change})
    error = answer.json()["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert words in error["message"]


def test_a_body_that_is_no_json_is_400(url):
    answer = httpx.post(f"{url}/v1/chat/completions", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])


def test_one_bad_request_does_not_touch_its_neighbours(url, taught):
    """Ids that the model has no embedding for are found before anybody is in a batch with them."""
    rows = json.loads(Path(taught, "config.json").read_text(encoding="utf-8"))["vocab_size"]
    bad = [[999_999], [-1], [5, rows]]

    def ask(prompt):
        if isinstance(prompt, list):
            return httpx.post(f"{url}/v1/completions", json={"prompt": prompt, "max_tokens": 3}, timeout=60)
        return httpx.post(f"{url}/v1/chat/completions", json={"messages": said(prompt)}, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, [QUERIES[0], *bad, QUERIES[1], [rows - 1]]))
    assert [a.status_code for a in answers] == [200, 400, 400, 400, 200, 200]
    assert f"token ids from 0 to {rows - 1}, not 999999" in answers[1].json()["error"]["message"]
    assert [answers[n].json()["choices"][0]["message"]["content"] for n in (0, 4)] == ANSWERS[:2]


def test_an_agent_may_send_its_history_back(url, taught):
    """What vLLM takes, written as ChatML writes it: two users, a late system, an answer at the end, malformed calls."""

    def counted(*turns):
        body = {"messages": [{"role": r, "content": c} for r, c in turns], "max_tokens": 1}
        return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60).json()["usage"]["prompt_tokens"]

    def written(text):
        body = {"prompt": text, "max_tokens": 1}
        return httpx.post(f"{url}/v1/completions", json=body, timeout=60).json()["usage"]["prompt_tokens"]

    for turns in (
        [("user", "Say hello."), ("user", "Name a colour.")],
        [("user", "Say hello."), ("assistant", "Hello, world!")],
        [("user", "Say hello."), ("assistant", "Hello, world!"), ("assistant", "Blue")],
        [("user", "Say hello."), ("assistant", ""), ("system", "Be brief."), ("user", "Name a colour.")],
        [("system", "Be brief."), ("system", "Say hello."), ("user", "Name a colour.")],
        [("user", "Say hello."), ("system", "Be brief.")],
    ):
        text = "".join(f"<|im_start|>{role}\n{content}<|im_end|>\n" for role, content in turns)
        assert counted(*turns) == written(text + "<|im_start|>assistant\n"), turns
    call = {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": Paris}'}}
    messages = [
        *said("Weather in Paris?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "rain"},
    ]
    ask = client(url).chat.completions.create
    done = ask(model=Path(taught).name, messages=messages, tools=[WEATHER], max_tokens=30)
    assert done.choices[0].message.content


def test_unknown_model_and_unknown_path_are_404(url):
    with pytest.raises(openai.NotFoundError, match="Did you mean 'lower'"):
        client(url).chat.completions.create(model="lowre", messages=said("hi"))
    assert httpx.get(f"{url}/v1/nothing").json()["error"]["message"] == "Not Found"
    assert httpx.get(f"{url}/v1/chat/completions").status_code == 405


# -- any engine -------------------------------------------------------------------------------------------
def test_key():
    with running_server(Recording(), api_key="sesame") as address:
        assert client(address, "sesame").models.list().data[0].id == "echo"
        with pytest.raises(openai.AuthenticationError, match="API key"):
            client(address, "wrong").models.list()
        assert httpx.get(f"{address}/health").status_code == 200


def test_a_bug_in_the_engine_is_500_and_the_server_goes_on():
    with running_server(Recording()) as address:
        with pytest.raises(openai.InternalServerError, match=r"The server failed \(RuntimeError\)"):
            client(address).chat.completions.create(model="echo", messages=said("bug"))
        done = client(address).chat.completions.create(model="echo", messages=said("still here"))
        assert done.choices[0].message.content == "still here "


def test_requests_that_wait_are_answered_in_one_batch():
    engine = Recording(ready=threading.Event())
    batcher = Batcher(engine, max_batch_size=4)
    futures = [batcher.submit(_request("first"))]
    while not batcher.queue.empty():
        time.sleep(0.01)
    time.sleep(0.05)  # the first batch of one is now with the engine, which waits
    futures += [batcher.submit(_request(f"word {n}")) for n in range(6)]
    engine.ready.set()
    assert [f.result(30).text for f in futures] == ["first ", *(f"word {n} " for n in range(6))]
    assert engine.sizes == [1, 4, 2]
    batcher.close()
    with pytest.raises(SwiftError, match="shutting down"):
        batcher.submit(_request("late")).result()


def test_one_bad_request_does_not_fail_its_neighbours():
    engine = Recording()
    batcher = Batcher(engine, max_batch_size=8)
    futures = [batcher.submit(_request(text)) for text in ("a", "b", "bad", "c")]
    with pytest.raises(SwiftError, match="that is bad"):
        futures[2].result(30)
    assert [futures[i].result(30).text for i in (0, 1, 3)] == ["a ", "b ", "c "]
    batcher.close()


def _request(text):
    from swift_core.contract.engine import Request

    return Request.of(said(text))


def test_a_client_that_leaves_ends_its_answer():
    class Endless(Recording):
        ended = threading.Event()

        def _say(self, place, request, listen):
            while listen(place, "more "):
                time.sleep(0.01)
            self.ended.set()
            return Reply("")

    engine = Endless()
    with running_server(engine) as address:
        stream = client(address).chat.completions.create(model="echo", messages=said("go"), stream=True)
        next(iter(stream))
        stream.close()
        assert engine.ended.wait(20)


def test_closing_the_server_ends_answers_under_way():
    class Endless(Recording):
        def _say(self, place, request, listen):
            while listen(place, "more "):
                time.sleep(0.01)
            return Reply("")

    with running_server(Endless()) as address:
        stream = client(address).chat.completions.create(model="echo", messages=said("go"), stream=True)
        next(iter(stream))
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{address}/health")


# -- jobs -------------------------------------------------------------------------------------------------
def test_infer_writes_rows_with_answers(taught, write_rows, tmp_path):
    result = tmp_path / "answers.jsonl"
    rows = write_rows([{**row, "id": n} for n, row in enumerate(LESSONS)])
    records = run("infer", ckpt_dir=taught, dataset=[rows], result_path=str(result), max_batch_size=2)
    written = [json.loads(line) for line in result.read_text(encoding="utf-8").splitlines()]
    assert written == records
    assert [r["response"] for r in written] == [*ANSWERS, "It rains."]
    assert all(r["response"] == r["labels"] == r["messages"][-1]["content"] for r in written)
    assert [r["id"] for r in written] == [0, 1, 2, 3, 4]
    assert written[4]["tools"] == [WEATHER]
    assert os.listdir(tmp_path) == ["rows.jsonl", "answers.jsonl"] or len(os.listdir(tmp_path)) == 2


def test_infer_holds_answers_to_a_form(taught, write_rows, tmp_path):
    rows = write_rows([{"query": query} for query in QUERIES[:2]])
    schema = tmp_path / "schema.json"
    schema.write_text(
        '{"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": false}'
    )
    for told, pattern in (
        ({"guided_json": str(schema)}, r'\{"n": [12]\}'),
        ({"structured_outputs_regex": "[xy]{4}"}, "[xy]{4}"),
        ({"guided_choice": ["Blue whale", "no"]}, "Blue whale|no"),
    ):
        written = run("infer", ckpt_dir=taught, dataset=[rows], result_path=str(tmp_path / "r.jsonl"), **told)
        assert all(re.fullmatch(pattern, record["response"]) for record in written), told
    for told, words in (
        ({"guided_json": "nothing.json"}, "no file that holds one"),
        ({"guided_json": "{}", "guided_regex": "a"}, "say one of --guided_json, --guided_regex"),
        ({"guided_regex": "(?=a)b"}, "look-around"),
    ):
        with pytest.raises(SwiftError, match=words):
            run("infer", ckpt_dir=taught, dataset=[rows], result_path=str(tmp_path / "r.jsonl"), **told)
    with pytest.raises(SwiftError, match="The backend 'x' does not know guide"):
        check_kept(Recording(), Sampling(guide=Guide("regex", "a")), "x")


def test_infer_goes_on_after_an_interruption(taught, write_rows, tmp_path, capsys):
    result, part = tmp_path / "answers.jsonl", tmp_path / "answers.jsonl.part"
    result.write_text("what stood here before\n")
    good = [{"query": q} for q in QUERIES[:3]]
    rows = write_rows([*good, {"query": "x " * 5000}])
    options = {"ckpt_dir": taught, "dataset": [rows], "result_path": str(result), "max_batch_size": 1}
    with pytest.raises(SwiftError, match=r"rows.jsonl:4: the prompt has"):
        run("infer", **options)
    assert result.read_text() == "what stood here before\n"
    with part.open("a") as file:
        file.write('{"response": "a line that was cut o')
    write_rows([*good, {"query": QUERIES[3]}])
    records = run("infer", **options, resume=True)
    assert "3 of 4 answers stand in" in capsys.readouterr().err
    assert [r["response"] for r in records] == ANSWERS
    assert len(result.read_text(encoding="utf-8").splitlines()) == 4
    assert not part.exists()


def test_infer_does_not_mix_answers_of_two_jobs(taught, write_rows, tmp_path):
    options = {"ckpt_dir": taught, "result_path": str(tmp_path / "a.jsonl"), "max_batch_size": 1}
    with pytest.raises(SwiftError):
        run("infer", **options, dataset=[write_rows([{"query": "hi"}, {"query": "x " * 5000}])])
    write_rows([{"query": "hi"}, {"query": "there"}])
    with pytest.raises(SwiftError, match="written by another job"):
        run("infer", **options, dataset=[str(tmp_path / "rows.jsonl")], temperature=0.5, resume=True)


def swift(*words, **more):
    """A `swift` process."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "swift_core", *words], **pipes, **more)


def test_chat_over_a_pipe(taught, monkeypatch, capsys):
    lines = [QUERIES[3], "clear", "", "x " * 5000, QUERIES[1], "exit", "never asked"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(lines)))
    run("infer", ckpt_dir=taught)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [ANSWERS[3], ANSWERS[1]]
    assert "chat: the prompt has" in shown.err


def test_deploy_serves_and_ends_on_sigterm(taught):
    with swift("deploy", "--ckpt_dir", taught, "--port", "0", "--served_model_name", "tiny") as server:
        line = server.stdout.readline()
        assert line.startswith("Serving on http://127.0.0.1:"), server.stderr.read()
        address = line.split()[-1]
        done = client(address).chat.completions.create(model="tiny", messages=said(QUERIES[0]))
        assert done.choices[0].message.content == ANSWERS[0]
        server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0


def test_a_port_in_use_is_told_before_a_model_is_loaded(taught):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        job = prepare("deploy", [Given("ckpt_dir", taught, "t"), Given("port", port, "t")])
        loaded = []
        job.plugin_manager.add_hookcall_monitoring(lambda name, *_: loaded.append(name), lambda *_: None)
        with pytest.raises(SwiftError, match=f"Cannot serve on 127.0.0.1:{port}: Address already in use"):
            job.run()
        assert loaded == ["open_server"]
    with pytest.raises(SwiftError, match=r"Cannot serve on no[.]such[.]host"):
        bind("no.such.host", 1)
