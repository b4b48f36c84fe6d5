"""SGLang's words and bodies: what we send, and, where its environment is made, what its own parsers make of it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from swift_plugin_serving.generating import Question
from swift_plugin_sglang import SgLangDialect
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.catalogue import venvs
from swift_core.contract.engine import Request
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

READY = os.environ.get("SWIFT_TEST_SGLANG") == "1"
needs_sglang = pytest.mark.skipif(not READY, reason="SGLang's environment is not made: run `make test-sglang`")

READ = """
import argparse, json, sys
import torch
lib = torch.library.Library("torchvision", "FRAGMENT")  # its build for CUDA lacks these beside a CPU torch
for name in ("nms", "qnms"):
    lib.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from pydantic import TypeAdapter
from sglang.api.v1.api_types import GenerateRequest
from sglang.srt.managers.io_struct import GenerateReqInput
from sglang.srt.sampling.sampling_params import SamplingParams
from sglang.srt.server_args import ServerArgs
from sglang.srt.utils.server_args_config_parser import ConfigArgumentMerger
told, parser, found = json.load(sys.stdin), argparse.ArgumentParser(), []
ServerArgs.add_cli_args(parser)
for body in told["bodies"]:
    GenerateRequest.from_json_value(body)  # rejects unknown settings; unknown keys beside them are ours to see
    TypeAdapter(GenerateReqInput).validate_python(body)
    how = SamplingParams(**body["sampling_params"])
    how.normalize(None)
    how.verify(1000)
    read = {n: getattr(how, n) for n in ("temperature", "top_k", "top_p", "sampling_seed", "logit_bias", "ignore_eos")}
    found.append([sorted(set(body) - set(GenerateRequest.__struct_fields__)), read])
parsed = vars(parser.parse_args(ConfigArgumentMerger(parser).merge_config_with_args(told["words"])))
print(json.dumps({"words": parsed, "bodies": found}, default=str))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny checkpoint."""
    return tiny_qwen2(tmp_path_factory.mktemp("model"))


def question(stream: bool = False, **told: Any) -> Question:
    """What a checked request looks like."""
    return Question(Request.of(**told), [1, 2, 3], 9, (7,), stream)


def words(model: str, adapters: dict[str, str], **options: Any) -> list[str]:
    """The words for a server."""
    told = {"model": model, "infer_backend": "sglang", **options}
    job = prepare("infer", [Given(k, v, "test") for k, v in told.items()])
    found: list[str] = job.one("backend").words(job, model, 4321, adapters)
    return found


MANY: dict[str, Any] = {
    "tp_size": 2,
    "mem_fraction_static": 0.5,
    "context_length": 128,
    "sglang_quantization": "fp8",
    "sglang_kv_cache_dtype": "fp8_e5m2",
    "sglang_deterministic": True,
    "sglang_disable_cuda_graph": True,
    "sglang_args": ["--disable-radix-cache"],
    "seed": 11,
}


# -- without the environment ------------------------------------------------------------------------------
def test_how_an_answer_is_drawn(model):
    call = SgLangDialect(True).call(question(adapter="mine", temperature=0.7, seed=3, banned=(5,)))
    how = call.body["sampling_params"]
    assert (call.path, call.body["lora_path"], call.body["input_ids"]) == ("/generate", "mine", [1, 2, 3])
    assert (how["top_k"], how["sampling_seed"], how["logit_bias"]) == (-1, 3, {"5": -100.0})
    assert "sampling_seed" not in SgLangDialect(False).call(question(seed=3)).body["sampling_params"]


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"temperature": 0.7, "seed": 3}, "seed: .*--sglang_deterministic true"),
        ({"repetition_penalty": 2.5}, "repetition_penalty"),
        ({"top_p": 0.0}, "top_p"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(told, named):
    with pytest.raises(SwiftError, match=f"SGLang cannot do {named}"):
        SgLangDialect(False).call(question(**told))


def test_the_key_is_no_word_of_the_command(model):
    assert not any("key" in word for word in words(model, {}))


# -- with it ----------------------------------------------------------------------------------------------
@needs_sglang
def test_its_own_parser_and_models_take_them(model, tmp_path):
    Path(tmp_path, "adapter_config.json").write_text(json.dumps({"r": 8, "rank_pattern": {"q_proj": 20}}))
    Path(tmp_path, "key.yaml").write_text('api-key: "123e4"\n')
    told = {
        "words": [*words(model, {"mine": str(tmp_path)}, **MANY), "--config", str(tmp_path / "key.yaml")],
        "bodies": [
            SgLangDialect(True).call(asked).body
            for asked in (
                question(stream=True),
                question(adapter="mine", temperature=0.5, seed=3, top_p=0.9, logit_bias=((5, 1.0),), ignore_eos=True),
            )
        ],
    }
    python = str(venvs.find("sglang").create())
    done = subprocess.run([python, "-c", READ], input=json.dumps(told), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = {
        "model_path": model,
        "host": "127.0.0.1",
        "port": 4321,
        "served_model_name": Path(model).name,
        "api_key": "123e4",
        "dtype": "float32",
        "tp_size": 2,
        "mem_fraction_static": 0.5,
        "context_length": 128,
        "quantization": "fp8",
        "kv_cache_dtype": "fp8_e5m2",
        "enable_deterministic_inference": True,
        "incremental_streaming_output": True,
        "cuda_graph_backend_decode": "disabled",
        "disable_radix_cache": True,
        "random_seed": 11,
        "sampling_defaults": "openai",
        "enable_lora": True,
        "max_lora_rank": 20,
    }
    assert {name: found["words"][name] for name in expected} == expected
    assert "mine" in str(found["words"]["lora_paths"]) and str(tmp_path) in str(found["words"]["lora_paths"])
    (unknown, greedy), (unknown_too, drawn) = found["bodies"]
    assert unknown == unknown_too == []
    assert greedy["top_k"] == 1  # its own form of temperature 0
    assert (drawn["temperature"], drawn["top_p"], drawn["sampling_seed"]) == (0.5, 0.9, 3)
    assert (drawn["logit_bias"], drawn["ignore_eos"]) == ({"5": 1.0}, True)
