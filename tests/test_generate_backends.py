"""LMDeploy's and SGLang's backends with a stand-in for their servers: a process that speaks their endpoints.

It repeats the prompt (`swift_testing.generate_standin`), so what is held here is what we ask, how we read answers, and
the life of the process. What the real servers make of it was not run here: they need a GPU.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import openai
import pytest
from swift_plugin_serving.server import running_server
from swift_testing.backends import start
from swift_testing.generate_standin import interpreter
from swift_testing.serving import WEATHER
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.contract.engine import Request

OPTIONS: dict[str, dict[str, Any]] = {"lmdeploy": {}, "sglang": {"sglang_deterministic": True}}
CHAT = "<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny checkpoint, for its tokenizer and its number of positions."""
    return tiny_qwen2(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module", params=sorted(OPTIONS))
def engine(request: pytest.FixtureRequest, model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """An engine over the stand-in, with the adapter `mine`."""
    name, folder = request.param, tmp_path_factory.mktemp(request.param)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 8}), encoding="utf-8")
    (folder / "nvidia-smi").touch(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        patch.setenv("http_proxy", "http://127.0.0.1:9")  # nothing of ours goes through it
        told = {"agent": "hermes", f"{name}_python": interpreter(folder), **OPTIONS[name]}
        made = start(model=model, template="chatml", adapters=[f"mine={folder}"], infer_backend=name, **told)
        made.place = folder
        patch.delenv("http_proxy")
        yield made
        made.close()
    assert made.server.process.poll() is not None
    assert not made.server.log.exists()


def asked(engine: Any) -> list[dict[str, Any]]:
    """What the stand-in noted, and forgets."""
    file = engine.place / "asked.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    file.unlink()
    return [json.loads(line) for line in lines]


def left(engine: Any) -> bool:
    """Whether the stand-in, slow until now, notices soon that nobody reads its answer any more."""
    until = time.monotonic() + 20
    while not (found := '{"left": true}' in (engine.place / "asked.jsonl").read_text()) and time.monotonic() < until:
        time.sleep(0.05)
    (engine.place / "slow").unlink()
    asked(engine)
    return found


def say(text: str, **more: Any) -> Request:
    """A request to go on from a text."""
    return Request.of(prompt=text, **{"max_new_tokens": 40, **more})


def test_answers_end_where_the_template_or_the_limit_says(engine):
    whole, cut = engine.generate([say("one two three<|im_end|>four"), say("one two three", max_new_tokens=2)])
    tokens = engine.tokenizer("one two three<|im_end|>")["input_ids"]
    assert (whole.text, whole.finish_reason, whole.ids) == ("one two three", "stop", tokens)
    assert (whole.prompt_tokens, whole.completion_tokens) == (
        len(tokens) + len(engine.tokenizer("four")["input_ids"]),
        len(tokens),
    )
    assert (cut.finish_reason, cut.completion_tokens, cut.ids) == ("length", 2, tokens[:2])


def test_a_conversation_goes_as_the_template_writes_it(engine):
    asked(engine)
    engine.generate([Request.of([{"role": "user", "content": "Say hello."}], max_new_tokens=3)])
    (told,) = asked(engine)
    assert told["path"] == "/generate"
    assert told["body"]["input_ids"] == engine.tokenizer(CHAT)["input_ids"]


def test_a_stop_word_ends_the_answer_and_the_work(engine):
    (engine.place / "slow").touch()
    (reply,) = engine.generate([say("one two three " * 20, stop=["o th"], max_new_tokens=200)])
    assert (reply.text, reply.finish_reason) == ("one tw", "stop")
    assert left(engine)
    with running_server(engine) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY", max_retries=0) as client:
        done = client.completions.create(model=engine.models[0], prompt="one two", max_tokens=9, stop=["tw"], n=2)
        assert [choice.text for choice in done.choices] == ["one ", "one "]
        with pytest.raises(openai.NotFoundError, match="other"):
            client.completions.create(model="other", prompt="one")


def test_a_stream_that_is_left_ends_there(engine):
    (engine.place / "slow").touch()
    pieces = engine.stream(say("one two three " * 20, max_new_tokens=200))
    next(pieces)
    pieces.close()
    assert left(engine)


def test_tool_calls_are_read_from_what_it_says(engine):
    call = '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris"}}\n</tool_call><|im_end|>'
    (reply,) = engine.generate([say(f"I look.\n{call}", tools=[WEATHER], max_new_tokens=400)])
    assert (reply.finish_reason, reply.content) == ("tool_calls", "I look.")
    assert reply.calls == [{"name": "get_weather", "arguments": {"city": "Paris"}}]


def test_streams_join_to_the_answer(engine):
    text = "one two 你好 😀 three<|im_end|>"
    for more in ({}, {"adapter": "mine", "prompt": "one two"}):
        told = {"prompt": text, "max_new_tokens": 60, **more}
        pieces = list(engine.stream(Request.of(**told)))
        assert len(pieces) > 1
        assert "".join(pieces) == engine.generate([Request.of(**told)])[0].text
    assert engine.generate([say(text)])[0].text == text.removesuffix("<|im_end|>")


def test_adapters_by_name_and_seeds(engine):
    ids = engine.tokenizer("one two three")["input_ids"]
    (reply,) = engine.generate([say("one two three", adapter="mine", max_new_tokens=len(ids))])
    assert reply.text == engine.tokenizer.decode(ids[::-1])
    drawn = [say("one two three four", temperature=1.0, seed=seed, max_new_tokens=9) for seed in (1, 1, 2)]
    one, same, other = (reply.text for reply in engine.generate(drawn))
    assert one == same != other
    with pytest.raises(SwiftError, match=r"no adapter 'other'\. Loaded are: mine"):
        engine.generate([say("one", adapter="other")])


def test_a_refusal_is_told_and_touches_nobody_else(engine):
    with pytest.raises(SwiftError, match=r"refused .400.: thirteen brings bad luck"):
        engine.generate([Request.of(prompt=[5, 13])])
    with pytest.raises(SwiftError, match="which hold no media"):
        engine.generate([Request.of([{"role": "user", "content": "<image>?"}], images=["a.png"])])
    with pytest.raises(SwiftError, match="the prompt has"):
        engine.generate([Request.of(prompt=[5] * engine.window)])
    assert engine.generate([say("one<|im_end|>")])[0].text == "one"


def test_a_server_that_dies_shows_the_end_of_its_log(engine):
    with pytest.raises(SwiftError, match=r"ended with exit code 3(?s:.)*torch.OutOfMemoryError: stand-in"):
        engine.generate([Request.of(prompt=[5, 14])])


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_without_a_gpu_nothing_is_installed(name, model, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/bin/none")
    monkeypatch.setenv("SWIFT_ENVS", str(tmp_path / "envs"))
    with pytest.raises(SwiftError, match=r"no nvidia-smi.*--backend transformers"):
        start(model=model, infer_backend=name)
    assert not (tmp_path / "envs").exists()


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_an_interpreter_without_the_library_is_told(name, model, tmp_path, monkeypatch):
    Path(tmp_path, "nvidia-smi").touch(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SwiftError, match=rf"exit code 1(?s:.)*No module named .*{name}"):
        start(model=model, infer_backend=name, **{f"{name}_python": sys.executable})
