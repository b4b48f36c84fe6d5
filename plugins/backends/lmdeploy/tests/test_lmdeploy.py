"""LMDeploy's words and bodies: what we send, and, where its environment is made, what its own parsers make of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from swift_plugin_lmdeploy import LmDeployDialect
from swift_plugin_serving.generating import Question
from swift_testing.backends import start
from swift_testing.tiny import tiny_qwen2
from transformers import AutoTokenizer

from swift_core import SwiftError
from swift_core.catalogue import venvs
from swift_core.contract.engine import Request
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

READY = os.environ.get("SWIFT_TEST_LMDEPLOY") == "1"
needs_lmdeploy = pytest.mark.skipif(not READY, reason="LMDeploy's environment is not made: run `make test-lmdeploy`")

READ = """
import dataclasses, json, sys
import lmdeploy.cli.cli as cli
import lmdeploy.cli.serve as serve
from lmdeploy.serve.core.generation_config import build_generation_config
from lmdeploy.serve.openai import protocol
serve.SubCliServe.add_parsers()
told = json.load(sys.stdin)
models = {"/generate": protocol.GenerateReqInput, "/v1/completions": protocol.CompletionRequest}
found = []
for path, body in told["calls"]:
    read = models[path](**body)
    stop = {"random_seed": read.seed} if path == "/v1/completions" else {}
    config = build_generation_config(read, {}, max_new_tokens=1, stop_words=read.stop, **stop)
    found.append([sorted(set(body) - set(models[path].model_fields)), dataclasses.asdict(config)])
parsed = vars(cli.CLI.parser.parse_args(told["words"]))
print(json.dumps({"words": {k: v for k, v in parsed.items() if not callable(v)}, "calls": found}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tiny checkpoint."""
    return tiny_qwen2(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def dialect(model: str) -> LmDeployDialect:
    """How LMDeploy is asked about that checkpoint."""
    return LmDeployDialect("smol", AutoTokenizer.from_pretrained(model))


def question(dialect: LmDeployDialect, stream: bool = False, **told: Any) -> Question:
    """What a checked request looks like."""
    request = Request.of(**told)
    return Question(request, dialect.tokenizer("one two")["input_ids"], 9, (dialect.tokenizer.eos_token_id,), stream)


def words(model: str, adapters: dict[str, str], engine: str, **options: Any) -> list[str]:
    """The words for a server."""
    told = {"model": model, "infer_backend": "lmdeploy", **options}
    job = prepare("infer", [Given(k, v, "test") for k, v in told.items()])
    found: list[str] = job.one("backend").words(job, model, 4321, engine, adapters)
    return found


MANY: dict[str, Any] = {
    "tp": 2,
    "cache_max_entry_count": 0.5,
    "session_len": 128,
    "quant_policy": "int8",
    "lmdeploy_max_batch_size": 16,
    "lmdeploy_enable_prefix_caching": True,
    "torch_dtype": "bfloat16",
    "lmdeploy_args": ["--eager-mode"],
}


# -- without the environment ------------------------------------------------------------------------------
def test_greedy_needs_no_seed_and_goes_with_ids(dialect):
    call = dialect.call(question(dialect, seed=3))
    assert call.path == "/generate"
    assert (call.body["top_k"], call.body["temperature"], call.body["max_tokens"]) == (1, 1.0, 9)
    assert dialect.call(question(dialect, temperature=0.7, top_k=0)).body["top_k"] == 0  # its own default is 50


def test_seeds_and_adapters_go_with_text(dialect):
    call = dialect.call(question(dialect, temperature=0.7, seed=3, adapter="mine"))
    assert (call.path, call.body["model"], call.body["seed"]) == ("/v1/completions", "mine", 3)
    assert (call.body["prompt"], call.body["stop"]) == ("one two", [dialect.tokenizer.eos_token])


@pytest.mark.parametrize(
    ("told", "named"),
    [
        ({"logit_bias": ((5, 1.0),)}, "logit_bias"),
        ({"banned": (5,)}, "banned"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"temperature": 2.5}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"stop_ids": (5,), "adapter": "mine"}, "stop_token_ids"),
    ],
)
def test_what_it_cannot_do_is_refused_by_name(dialect, told, named):
    with pytest.raises(SwiftError, match=f"LMDeploy cannot do {named}: "):
        dialect.call(question(dialect, **told))


def test_a_prompt_that_text_would_change_is_refused(dialect):
    apart = [token for letter in "one two" for token in dialect.tokenizer(letter)["input_ids"]]
    asked = Question(Request.of(adapter="mine"), apart, 9, (), False)
    with pytest.raises(SwiftError, match="tokens would be others when read back"):
        dialect.call(asked)


@pytest.mark.parametrize(
    ("options", "told"),
    [({"torch_dtype": "float32"}, "not in float32"), ({"lmdeploy_backend": "turbomind"}, "serves no adapters")],
)
def test_jobs_that_it_cannot_serve_are_refused(model, tmp_path, monkeypatch, options, told):
    Path(tmp_path, "nvidia-smi").touch(0o755)
    Path(tmp_path, "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4}))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    given = {"model": model, "infer_backend": "lmdeploy", "adapters": [f"mine={tmp_path}"], **options}
    with pytest.raises(SwiftError, match=told):
        start(**given)


# -- with it ----------------------------------------------------------------------------------------------
@needs_lmdeploy
def test_its_own_parser_and_models_take_them(model, dialect):
    asked = [
        question(dialect, stream=True, stop_ids=(5,)),
        question(dialect, temperature=0.5, top_p=0.9, min_p=0.1, repetition_penalty=1.1),
        question(dialect, temperature=0.5, seed=3, adapter="mine"),
    ]
    calls = [(call.path, call.body) for call in map(dialect.call, asked)]
    adapters = {"mine": "/a/b", "other": "/c=d"}
    told = json.dumps({"words": words(model, adapters, "pytorch", **MANY), "calls": calls})
    python = str(venvs.find("lmdeploy").create())
    done = subprocess.run([python, "-c", READ], input=told, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    expected = {
        "model_path": model,
        "server_name": "127.0.0.1",
        "server_port": 4321,
        "backend": "pytorch",
        "model_name": Path(model).name,
        "tp": 2,
        "cache_max_entry_count": 0.5,
        "session_len": 128,
        "quant_policy": 8,
        "max_batch_size": 16,
        "enable_prefix_caching": True,
        "dtype": "bfloat16",
        "eager_mode": True,
        "generation_config": "lmdeploy",
        "disable_fastapi_docs": True,
        "adapters": ["mine=/a/b", "other=/c=d"],
    }
    assert {name: found["words"][name] for name in expected} == expected
    assert [unknown for unknown, _ in found["calls"]] == [[], [], []]
    greedy, drawn, seeded = (config for _, config in found["calls"])
    assert (greedy["top_k"], greedy["skip_special_tokens"]) == (1, False)
    assert greedy["stop_token_ids"] == [dialect.tokenizer.eos_token_id]
    assert [drawn[n] for n in ("temperature", "top_p", "min_p", "repetition_penalty", "top_k")] == [
        0.5,
        0.9,
        0.1,
        1.1,
        0,
    ]
    assert (seeded["random_seed"], seeded["stop_words"]) == (3, [dialect.tokenizer.eos_token])


@needs_lmdeploy
@pytest.mark.skipif(bool(shutil.which("nvidia-smi")), reason="with a GPU it starts")
def test_the_real_server_reads_the_words_and_misses_the_gpu(model, tmp_path, monkeypatch):
    Path(tmp_path, "nvidia-smi").touch(0o755)
    python = str(venvs.find("lmdeploy").create())
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    given = {"model": model, "infer_backend": "lmdeploy", "lmdeploy_backend": "pytorch", "lmdeploy_python": python}
    with pytest.raises(SwiftError, match=r"LMDeploy ended with exit code 1(?s:.)*CUDA"):
        start(**given)
