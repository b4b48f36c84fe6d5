"""The vLLM backend: its words, its process and, where its environment is made, its answers."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import jinja2
import numpy as np
import pytest
from PIL import Image
from swift_plugin_vllm import Vllm, joining_template
from swift_testing import AnswersContract
from swift_testing.backends import beside_transformers, start, taught_options, user
from swift_testing.serving import LESSONS, SHAPE, random_lora
from swift_testing.tiny import tiny_qwen2, tiny_qwen2_vl

from swift_core import SwiftError

READY = os.environ.get("SWIFT_TEST_VLLM") == "1"
needs_vllm = pytest.mark.skipif(not READY, reason="vLLM in an environment of 3 GB: make test-vllm")


VISION = {"embed_dim": 64, "num_heads": 2}
"""A tower whose heads are of 32 dimensions, too."""


def picture(seed, width=56, height=56):
    """A picture of random values."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


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
    words = Vllm().lora_words({"mine": str(tmp_path)})
    assert words[words.index("--max-lora-rank") + 1] == "32"
    assert words[-2:] == ["--lora-modules", f"mine={tmp_path}"]
    later = Vllm(vllm_max_loras=2).lora_words({})
    assert later[:3] == ["--enable-lora", "--max-lora-rank", "64"] and "--lora-modules" not in later
    assert Vllm().lora_words({}) == []


def test_a_server_that_dies_shows_the_end_of_its_log(tmp_path):
    with pytest.raises(SwiftError, match=r"exit code 1.*(?s:.)*No module named .*vllm"):
        start(model=tiny_qwen2(tmp_path), backend="vllm", vllm_python=sys.executable)


def test_quantizing_at_load_is_refused_with_the_reason(tmp_path):
    with pytest.raises(SwiftError, match="vLLM loads the weights itself"):
        start(model=tiny_qwen2(tmp_path), backend="vllm", quantizer="bnb")


# -- with it ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """(vllm, transformers) over the same taught model and adapters."""
    options = taught_options(tmp_path_factory.mktemp("vllm"))
    with beside_transformers(options, backend="vllm", vllm_kv_cache_gib=1, vllm_max_loras=1) as pair:
        yield pair


@needs_vllm
class TestAnswers(AnswersContract):
    """What every backend must do."""


@needs_vllm
def test_an_adapter_comes_and_goes_while_it_runs(engines, tmp_path):
    theirs, query = engines[0], LESSONS[0]["query"]
    folder = random_lora(engines[1].job.options.model, tmp_path / "late", 7)
    before = theirs.models
    theirs.load_adapter("late", folder)
    (late, base) = (reply.text for reply in theirs.generate([user(query, adapter="late"), user(query)]))
    assert base == LESSONS[0]["response"] != late
    with pytest.raises(SwiftError, match="a model 'late' already"):
        theirs.load_adapter("late", folder)
    theirs.unload_adapter("late")
    assert theirs.models == before
    with pytest.raises(SwiftError, match="no adapter 'late'"):
        theirs.generate([user(query, adapter="late")])
    Path(folder, "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 128}))
    with pytest.raises(SwiftError, match="plain LoRA up to rank 64 here"):
        theirs.load_adapter("high", folder)


@pytest.fixture(scope="module")
def seeing(tmp_path_factory):
    """(vllm, transformers) over a tiny model that reads pictures; its heads are of a size that vLLM takes on a CPU."""
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 10000.0}
    folder = tiny_qwen2_vl(
        tmp_path_factory.mktemp("vl"), pixels=(56 * 56, 112 * 112), vision=VISION, rope_parameters=rope, **SHAPE
    )
    options = {"model": folder, "torch_dtype": "float32", "max_length": 512}
    with beside_transformers(options, backend="vllm", vllm_kv_cache_gib=1) as pair:
        yield pair


@needs_vllm
def test_pictures_on_a_cpu(seeing):
    asked = [user("<image>What is it?", images=[picture(1, 84, 56)], max_new_tokens=12)]
    asked.append(user("And <image> beside <image>?", images=[picture(2), picture(3, 56, 112)], max_new_tokens=9))
    asked += [user("What is 1 + 2?", max_new_tokens=12), user("<image>What is it?", images=[picture(4, 84, 56)])]
    theirs, ours = (engine.generate(asked) for engine in seeing)
    for one, other in zip(theirs, ours, strict=True):  # at the limit vLLM leaves half a character out
        assert one.text == other.text.rstrip("\ufffd") and one.prompt_tokens == other.prompt_tokens
        assert (one.completion_tokens, one.finish_reason) == (other.completion_tokens, other.finish_reason)
    assert theirs[0].text != theirs[3].text[: len(theirs[0].text)], "what the picture shows changes nothing"
