"""The vLLM backend: its words, its process and, where its environment is made, its answers."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jinja2
import openai
import pytest
from swift_plugin_serving.server import running_server
from swift_plugin_vllm import ON_GPU, _lora_words, joining_template
from swift_testing.serving import LESSONS, WEATHER, random_lora, taught_qwen2
from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.catalogue import venvs
from swift_core.contract.engine import Request
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

READY = venvs.find("vllm").ready or os.environ.get("SWIFT_TEST_VLLM") == "1"
needs_vllm = pytest.mark.skipif(not READY, reason="vLLM's environment (3 GB) is not made: run `make test-vllm`")


def start(**options):
    """A running engine of an infer job with these options."""
    job = prepare("infer", [Given(k, v, "test") for k, v in options.items()])
    return job.hook.start_engine(job=job)


def user(text, **more):
    """A request with one user message."""
    return Request.of([{"role": "user", "content": text}], max_new_tokens=40, **more)


# -- without the environment ------------------------------------------------------------------------------
def test_the_joining_template_prints_text_and_media_in_order():
    written = joining_template({"image": "<|vision_start|><|image_pad|><|vision_end|>"})
    parts = [
        {"type": "text", "text": '<|im_start|>user\n"Look"\n'},
        {"type": "image"},
        {"type": "audio"},
        {"type": "text", "text": "\n"},
    ]
    shown = jinja2.Environment().from_string(written).render(messages=[{"role": "user", "content": parts}])
    assert shown == '<|im_start|>user\n"Look"\n<|vision_start|><|image_pad|><|vision_end|><audio>\n'


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"use_dora": True}, "plain LoRA"), ({"peft_type": "LOHA"}, "plain LoRA"), ({"r": 1024}, "up to rank 512")],
)
def test_adapters_that_vllm_cannot_serve_are_refused_before_it_starts(tmp_path, changes, words):
    model, folder = tiny_qwen2(tmp_path / "model"), tmp_path / "adapter"
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 4, "use_dora": False, "modules_to_save": None, **changes}
    Path(folder, "adapter_config.json").write_text(json.dumps(config))
    with pytest.raises(SwiftError, match=words + ".*--merge_lora true"):
        start(model=model, adapters=[f"a={folder}"], backend="vllm", vllm_python=sys.executable)


def test_the_rank_is_the_next_that_vllm_allows(tmp_path):
    Path(tmp_path, "adapter_config.json").write_text(json.dumps({"r": 8, "rank_pattern": {"q_proj": 20}}))
    words = _lora_words({"mine": str(tmp_path)})
    assert words[words.index("--max-lora-rank") + 1] == "32"
    assert words[-2:] == ["--lora-modules", f"mine={tmp_path}"]


def test_a_server_that_dies_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(SwiftError, match=r"exit code 1.*(?s:.)*No module named .*vllm"):
        start(model=tiny_qwen2(tmp_path), backend="vllm", vllm_python=sys.executable)


def test_quantizing_at_load_is_refused_with_the_reason(tmp_path):
    with pytest.raises(SwiftError, match="vLLM loads the weights itself"):
        start(model=tiny_qwen2(tmp_path), backend="vllm", quantizer="bnb")


@pytest.mark.skipif(ON_GPU, reason="with a GPU vLLM's own torchvision loads")
def test_multimodal_models_are_refused_on_a_cpu(tmp_path):
    with pytest.raises(SwiftError, match="import torchvision"):
        start(model=tiny_qwen2_vl(tmp_path), backend="vllm")


# -- with it ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """(vllm, transformers) over the same taught model and adapters."""
    folder = tmp_path_factory.mktemp("vllm")
    taught = taught_qwen2(folder / "taught")
    adapters = [f"{name}={random_lora(taught, folder / name, seed)}" for seed, name in enumerate(("one", "two"))]
    ours = start(ckpt_dir=taught, adapters=adapters)
    theirs = start(ckpt_dir=taught, adapters=adapters, backend="vllm", vllm_kv_cache_gib=1, torch_dtype="float32")
    yield theirs, ours
    theirs.close()


@needs_vllm
def test_greedy_answers_equal_transformers(engines):
    requests = [user(row["query"], adapter=name) for row in LESSONS[:4] for name in (None, "one", "two")]
    requests += [user("Never taught."), user(LESSONS[0]["query"], stop=["like", "x"]), user(LESSONS[3]["query"])]
    requests[-1] = requests[-1].drawn(max_new_tokens=2)
    requests.append(Request.of([{"role": "user", "content": "Weather in Paris?"}], tools=[WEATHER], max_new_tokens=60))
    requests.append(Request.of(prompt="<|im_start|>user\nSay hello.<|im_end|>\n<|im_start|>assistant\nHello"))
    theirs, ours = (engine.generate(requests) for engine in engines)
    ours = [dataclasses.replace(reply, ids=[]) for reply in ours]  # vLLM's OpenAI interface gives text alone
    assert theirs == ours
    assert theirs[0].text == LESSONS[0]["response"]
    assert len({theirs[0].text, theirs[1].text, theirs[2].text}) == 3
    assert theirs[-2].calls == [{"name": "get_weather", "arguments": {"city": "Paris"}}]


@needs_vllm
def test_streams_join_to_the_answer(engines):
    for row in LESSONS[:4]:
        assert "".join(engines[0].stream(user(row["query"]))) == row["response"]


@needs_vllm
def test_behind_our_server(engines):
    with running_server(engines[0]) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY", max_retries=0)
        assert [m.id for m in client.models.list()] == engines[1].models
        asked = {"messages": [{"role": "user", "content": LESSONS[3]["query"]}]}
        done = client.chat.completions.create(model=engines[1].models[0], **asked)
        assert done.choices[0].message.content == LESSONS[3]["response"]
        with pytest.raises(openai.BadRequestError, match="the prompt has"):
            client.chat.completions.create(model="one", messages=[{"role": "user", "content": "x " * 5000}])


@needs_vllm
def test_sampling_follows_its_seed(engines):
    asked = [user("Anything?", temperature=2.0, seed=seed) for seed in (1, 1, 2)]
    one, same, other = (reply.text for reply in engines[0].generate(asked))
    assert one == same != other
