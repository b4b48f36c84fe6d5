"""Whether rows laid end to end stay apart is decided soundly in every precision."""

from __future__ import annotations

import json

import pytest
import torch
import transformers
from swift_plugin_runtime.batching import separation
from swift_plugin_runtime.batching.padding_free import counter_of, why_joined
from swift_testing.tiny import tiny_qwen2

from swift_core.api import run

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 256,
}  # fmt: skip
TYPES = (torch.float32, torch.bfloat16, torch.float16)


def made(kind, dtype, **more):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SMALL, **more)
    return getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config).to(dtype)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(
    ("kind", "more"),
    [("Qwen2", {}), ("Mixtral", {}), ("Gemma3Text", {"sliding_window": 4, "head_dim": 8})],
)
def test_masks_keep_rows_apart_in_every_precision(kind, more, dtype):
    model = made(kind, dtype, **more).train()
    assert why_joined(model) is None
    assert model.training and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("dtype", TYPES)
def test_noise_of_rounding_is_no_leak(dtype):
    """Weights that make logits of a few bits' noise: their largest difference exceeds a tenth of their deviation."""
    model = made("Qwen2", dtype, initializer_range=1.0)
    assert why_joined(model) is None


@pytest.mark.parametrize("dtype", TYPES)
def test_a_leak_below_the_noise_is_found(dtype):
    """LFM2's convolution looks two tokens back, also into the row before. The logits hardly tell; gradients do."""
    model = made("Lfm2", dtype, full_attn_idxs=[0, 1][:1]).eval()
    assert why_joined(model) == "one row reaches into the next"
    assert separation._difference(model, counter_of(model), separation.made_up(model)) < separation.LEAST_ROUNDED


@pytest.mark.parametrize("dtype", TYPES)
def test_positions_that_go_on_are_found(dtype):
    """Learned positions that count on behind the row before: nothing reaches across, and the logits are others."""
    torch.manual_seed(0)
    config = transformers.GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=100)
    model = transformers.GPT2LMHeadModel(config).to(dtype)
    assert why_joined(model) is None
    embed = model.transformer.wpe.forward
    model.transformer.wpe.forward = lambda places: embed(places + torch.arange(places.shape[-1]) // 12 * 20)
    assert why_joined(model) == "a row behind another has other logits than alone"


def test_that_batches_are_padded_is_said(tmp_path, capsys):
    """OPT counts positions behind the rows before; without a word the user would pay for padding."""
    folder = tiny_qwen2(tmp_path / "tokenizer")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    config = transformers.OPTConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4,
        word_embed_proj_dim=32,
    )  # fmt: skip
    transformers.OPTForCausalLM(config).save_pretrained(tmp_path / "opt")
    tokenizer.save_pretrained(tmp_path / "opt")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"query": "2+3?", "response": "5"}) + "\n")
    run(
        "sft", model=str(tmp_path / "opt"), model_type="opt", template="chatml", dataset=[str(rows)], tuner=["full"],
        output_dir=str(tmp_path / "run"), max_steps=1, device="cpu",
    )  # fmt: skip
    said = capsys.readouterr()
    assert "batches are padded: in OPTForCausalLM one row reaches into the next" in said.out + said.err
