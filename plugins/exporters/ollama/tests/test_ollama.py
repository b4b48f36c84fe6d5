"""ollama: the Modelfile holds what Ollama needs, and its template writes what swift trained on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from swift_testing.go_template import render
from swift_testing.tiny import tiny_llama, tiny_qwen2

from swift_core.contract.errors import SwiftError
from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.templates.declaration import Template
from swift_core.templates.forms import ollama
from swift_core.templates.render import spans_of

CHAT = [
    {"role": "user", "content": "What is {{ 2+3 }}?"},
    {"role": "assistant", "content": "5"},
    {"role": "user", "content": "And 你好\n twice?"},
    {"role": "assistant", "content": "10"},
    {"role": "user", "content": "Thanks"},
]

ROUNDS = Template(
    name="rounds",
    start="{bos}<go>",
    system="{bos}<<SYS>>{system}<</SYS>>",
    user="[INST] {{{query}}} [/INST]",
    assistant=" A:",
    end="{eos}",
    after="~",
    between="{bos}",
    stop=("END\n",),
)
"""A template with everything that can go wrong: bos within the chat, braces, text between rounds."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ollama")
    return {"qwen2": tiny_qwen2(folder / "qwen2"), "llama": tiny_llama(folder / "llama")}


def exporting(model, **options):
    return prepare("export", [Given(k, v, "test") for k, v in {"model": model, "to_ollama": True, **options}.items()])


def ours(job, messages, tokenizer):
    row = to_row({"messages": messages, "_where": "test:1"}, {})
    return "".join(s.text for s in spans_of(job, row, tokenizer, generation=True))


def go(text, messages):
    """What Ollama prints: it joins system messages to .System and leaves them in .Messages as well."""
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    return render(text, {"System": system, "Messages": [{k.title(): v for k, v in m.items()} for m in messages]})


class Tokens:
    """Only what rendering asks of a tokenizer."""

    bos_token, eos_token = "<s>", "</s>"


@pytest.mark.parametrize("system", ["", "Be brief."])
@pytest.mark.parametrize(("family", "template"), [("qwen2", "qwen"), ("qwen2", "chatml"), ("llama", "llama3")])
def test_the_go_template_writes_what_swift_renders(folders, family, template, system):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folders[family])
    job = exporting(folders[family], template=template)
    messages = [{"role": "system", "content": system}] * bool(system) + CHAT
    text = ollama(job.one("template"), tokenizer.bos_token or "", tokenizer.eos_token)
    written = (tokenizer.bos_token or "") + go(text, messages)
    assert written == ours(job, messages, tokenizer)


@pytest.mark.parametrize("system", ["", "Be {brief}."])
def test_rounds_braces_and_bos(folders, system):
    job = exporting(folders["qwen2"])
    next(c for c in job.selected if c.kind == "template").component = ROUNDS
    messages = [{"role": "system", "content": system}] * bool(system) + CHAT
    expected = ours(job, messages, Tokens)
    assert "<s>" + go(ollama(ROUNDS, "<s>", "</s>"), messages) == expected
    assert expected.count("<s>") == 3


def test_the_modelfile(folders, tmp_path):
    job = exporting(folders["qwen2"], output_dir=str(tmp_path / "out"))
    folder = job.run()["folders"]["ollama"]
    text = Path(folder, "Modelfile").read_text(encoding="utf-8")
    assert text.startswith(f'FROM {folders["qwen2"]}\nTEMPLATE """')
    assert 'SYSTEM """You are a helpful assistant."""\n' in text
    assert re.findall("PARAMETER stop (.*)", text) == ['"<|im_end|>"', '"<|endoftext|>"']
    assert "LICENSE" not in text


def test_an_empty_system_text_is_said_to_be_none_for_ollama(folders, tmp_path):
    """No SYSTEM line goes out, and Ollama's template cannot tell an empty text from none."""
    job = exporting(folders["qwen2"], system="", output_dir=str(tmp_path / "out"))
    text = Path(job.run()["folders"]["ollama"], "Modelfile").read_text(encoding="utf-8")
    assert "SYSTEM " not in text and any("empty system text for none" in note for note in job.notes)


def test_tokens_named_by_number_are_written(folders, tmp_path):
    """Baichuan's template names its turns by token id."""
    from transformers import AutoTokenizer

    job = exporting(folders["qwen2"], template="baichuan", output_dir=str(tmp_path / "out"))
    text = Path(job.run()["folders"]["ollama"], "Modelfile").read_text(encoding="utf-8")
    token = AutoTokenizer.from_pretrained(folders["qwen2"]).convert_ids_to_tokens(195)
    assert token in text and "{token:" not in text


def test_an_adapter_stays_beside_its_base_or_is_merged(folders, tmp_path):
    from transformers import AutoModelForCausalLM

    from swift_core.api import prepare_model, save_pretrained

    save_pretrained(prepare_model(AutoModelForCausalLM.from_pretrained(folders["llama"]), "lora"), tmp_path / "ad")
    apart = exporting(folders["llama"], template="llama3", adapters=[str(tmp_path / "ad")])
    text = Path(apart.run()["folders"]["ollama"], "Modelfile").read_text(encoding="utf-8")
    assert f"FROM {folders['llama']}\nADAPTER {tmp_path / 'ad'}\n" in text

    merged = exporting(
        folders["llama"], template="llama3", adapters=[str(tmp_path / "ad")], exporter=["merge-lora"], exist_ok=True
    )
    done = merged.run()["folders"]
    assert done == {"merge-lora": f"{tmp_path / 'ad'}-merged", "ollama": f"{tmp_path / 'ad'}-ollama"}
    text = Path(done["ollama"], "Modelfile").read_text(encoding="utf-8")
    assert text.startswith(f"FROM {tmp_path / 'ad'}-merged\n") and "ADAPTER" not in text


def test_a_gguf_file_written_before_is_what_the_model_is_made_from(folders, tmp_path):
    """The whole model as FROM, an adapter as ADAPTER; the tools are Hermes', whose mark of a call Ollama looks for."""
    from transformers import AutoModelForCausalLM

    from swift_core.api import prepare_model, save_pretrained

    job = exporting(folders["qwen2"], to_gguf=True, output_dir=str(tmp_path / "out"))
    done = job.run()["folders"]
    text = Path(done["ollama"], "Modelfile").read_text(encoding="utf-8")
    file = Path(done["gguf"], "qwen2-f32.gguf")
    assert file.is_file() and text.startswith(f"FROM {file}\n")
    assert "{{ if .ToolCalls }}" in text and '<tool_call>\n{"name": "{{ $call.Function.Name }}"' in text

    save_pretrained(prepare_model(AutoModelForCausalLM.from_pretrained(folders["qwen2"]), "lora"), tmp_path / "ad")
    apart = exporting(folders["qwen2"], to_gguf=True, adapters=[str(tmp_path / "ad")], output_dir=str(tmp_path / "two"))
    done = apart.run()["folders"]
    text = Path(done["ollama"], "Modelfile").read_text(encoding="utf-8")
    assert text.startswith(f"FROM {folders['qwen2']}\nADAPTER {Path(done['gguf'], 'ad.gguf')}\n")


def test_an_agent_format_that_go_cannot_write_is_said(folders, tmp_path):
    job = exporting(folders["qwen2"], template="chatml", agent="react", output_dir=str(tmp_path / "out"))
    text = Path(job.run()["folders"]["ollama"], "Modelfile").read_text(encoding="utf-8")
    assert ".ToolCalls" not in text and any("writes no tools" in note for note in job.notes)


def test_text_that_a_modelfile_cannot_hold(folders, tmp_path):
    job = exporting(folders["qwen2"], system='say """', output_dir=str(tmp_path / "out"))
    with pytest.raises(SwiftError, match="cannot hold"):
        job.run()
    assert not (tmp_path / "out").exists()
