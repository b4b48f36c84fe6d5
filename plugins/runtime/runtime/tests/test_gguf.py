"""A GGUF file as a model: the weights are those that were written, it trains, and a folder with one is the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from swift_plugin_runtime.loading.text_rules import LLAMA3, cuts_of
from swift_testing.tiny import tiny_llama

from swift_core import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model

gguf = pytest.importorskip("gguf")

CHATML = (
    "{% for m in messages %}{{ '<|start_header_id|>' + m.role + '\n' + m.content + '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant\n' }}{% endif %}"
)
NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}
"""A llama layer's weights in transformers → in GGUF."""


def renamed(name):
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    outer = {"embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for ours, theirs in outer.items():
        name = name.replace(ours, theirs)
    return name.replace("model.layers.", "blk.").replace("model.", "")


def rotated(weight, heads):
    """llama.cpp keeps the two halves of each head's rows in turns."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """(the checkpoint folder, the GGUF file made of it)."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("gguf")
    source = tiny_llama(folder / "tiny-llama", tie_word_embeddings=False)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    file, c = folder / "alone" / "tiny.gguf", model.config
    file.parent.mkdir()
    out = gguf.GGUFWriter(file, "llama")
    out.add_name("Tiny")
    out.add_context_length(c.max_position_embeddings)
    out.add_embedding_length(c.hidden_size)
    out.add_block_count(c.num_hidden_layers)
    out.add_feed_forward_length(c.intermediate_size)
    out.add_head_count(c.num_attention_heads)
    out.add_head_count_kv(c.num_key_value_heads)
    out.add_layer_norm_rms_eps(c.rms_norm_eps)
    out.add_rope_freq_base(c.rope_parameters["rope_theta"])
    out.add_vocab_size(c.vocab_size)
    core = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    out.add_tokenizer_model("gpt2")
    out.add_tokenizer_pre("llama-bpe")
    out.add_token_list(words)
    special = set(tokenizer.all_special_tokens)
    out.add_token_types([3 if word in special else 1 for word in words])
    out.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in core["merges"]])
    out.add_bos_token_id(tokenizer.bos_token_id)
    out.add_eos_token_id(tokenizer.eos_token_id)
    out.add_chat_template(CHATML)
    heads = {"attn_q": c.num_attention_heads, "attn_k": c.num_key_value_heads}
    for name, weight in model.state_dict().items():
        found, values = renamed(name), weight.float().numpy()
        turned = next((h for part, h in heads.items() if part in found), None)
        out.add_tensor(found, rotated(values, turned) if turned else values)
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return source, file


@pytest.fixture
def cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def given(**said):
    return [Given(k, v, "test") for k, v in {"device": "cpu", **said}.items()]


@pytest.mark.parametrize("place", ["file", "folder"])
def test_a_gguf_file_or_a_folder_with_one_is_the_model_that_was_written(written, cache, place):
    from transformers import AutoModelForCausalLM

    source, file = written
    job = prepare("infer", given(model=str(file if place == "file" else file.parent)))
    assert job.options.model_type == "llama" and job.sources["model_type"] == "the header of tiny.gguf"
    model, tokenizer = load_model(job)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = AutoModelForCausalLM.from_pretrained(source)(ids).logits
        assert torch.allclose(model(ids).logits, expected, atol=1e-5)
    assert tokenizer.eos_token == "<|eot_id|>" and job.options.template == "own"
    rule = json.loads(tokenizer.backend_tokenizer.to_str())["pre_tokenizer"]
    assert cuts_of(rule) == [LLAMA3]  # the rule that the file names


def test_it_trains_and_merges(written, cache, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query": "Hi", "response": "Hello!"}\n', encoding="utf-8")
    options = {"dataset": [str(rows)], "max_steps": 1, "output_dir": str(tmp_path / "out")}
    job = prepare("sft", given(model=str(written[1]), **options))
    checkpoint = job.run()["checkpoint"]
    merging = prepare("merge-lora", given(ckpt_dir=checkpoint))
    merged = merging.run()["folders"]["merge-lora"]
    assert Path(merged, "model.safetensors").is_file() and Path(merged, "chat_template.jinja").is_file()


def test_what_is_no_gguf_file_says_so(tmp_path):
    (tmp_path / "torn.gguf").write_bytes(b"GGUF\x03\x00")
    with pytest.raises(SwiftError, match=r"torn.gguf is not a GGUF file that can be read"):
        prepare("infer", given(model=str(tmp_path / "torn.gguf")))
    (tmp_path / "more.gguf").write_bytes(b"")
    with pytest.raises(SwiftError, match=r"several GGUF files \(more.gguf, torn.gguf\)"):
        prepare("infer", given(model=str(tmp_path)))
