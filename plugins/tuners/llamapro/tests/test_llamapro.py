"""llamapro: the tuner contract, its cache, its depth in config, its size at 7B, and its company."""

from __future__ import annotations

import json

import pytest
import torch
from swift_plugin_llamapro import LlamaPro, decoder_layers
from swift_plugin_runtime.tuning.additions import addition_of
from swift_testing import TunerContract
from swift_testing.contracts import tiny_model
from swift_testing.contracts_training import learn

from swift_core.api import from_pretrained, merge, prepare_model, run, save_pretrained
from swift_core.contract.errors import SwiftError


class TestLlamaPro(TunerContract):
    name = "llamapro"
    families = ("qwen2", "llama", "qwen2_vl")
    options = {"num_new_blocks": 2}
    trains = r"\.layers\.[13]\."  # two layers, a new block behind each
    rewrites = r"\.layers\."  # the numbers behind a new block are those of other layers
    identity_at_start = True
    learning_rate = 0.02


def load(family):
    import transformers

    kind = transformers.AutoModelForImageTextToText if family == "qwen2_vl" else transformers.AutoModelForCausalLM
    return kind.from_pretrained(tiny_model(family), dtype=torch.float32)


def logits(model):
    model.eval()
    with torch.no_grad():
        return model(input_ids=torch.arange(3, 23).unsqueeze(0)).logits


@pytest.fixture(scope="module")
def deeper():
    """Four layers of two types and two new blocks, which started as the identity and have learned something."""
    import transformers

    config = transformers.AutoConfig.from_pretrained(tiny_model("qwen2"), num_hidden_layers=4)
    config.layer_types = ["full_attention", "sliding_attention"] * 2
    config.sliding_window = 8
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config)
    before = logits(model)
    model = prepare_model(model, LlamaPro(num_new_blocks=2))
    assert torch.equal(logits(model), before)
    learn(model, 4, 0.02)
    assert not torch.equal(logits(model), before)
    return model


def test_config_layers_and_cache_grow_together(deeper):
    config = deeper.config
    assert config.num_hidden_layers == len(deeper.model.layers) == 6
    assert config.layer_types == [
        *("full_attention", "sliding_attention", "sliding_attention"),
        *("full_attention", "sliding_attention", "sliding_attention"),
    ]
    assert [layer.self_attn.layer_idx for layer in deeper.model.layers] == list(range(6))
    for given, trains in zip(deeper.model.layers, [0, 0, 1, 0, 0, 1], strict=True):
        assert all(p.requires_grad == bool(trains) for p in given.parameters())


def test_generation_with_cache_equals_without(deeper):
    deeper.eval()
    ids = torch.arange(5, 25).unsqueeze(0)  # longer than the sliding window
    drawn = [
        deeper.generate(ids, max_new_tokens=12, do_sample=False, use_cache=cached, eos_token_id=None, pad_token_id=0)
        for cached in (True, False)
    ]
    assert drawn[0].shape == (1, 32)
    assert drawn[0].tolist() == drawn[1].tolist()


def test_the_size_of_four_blocks_on_qwen_7b():
    """809.58 M trained parameters: Table 4 of the SWIFT paper, for Qwen-7B."""
    import transformers

    config = transformers.Qwen2Config(
        vocab_size=151936, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=32, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        model = prepare_model(transformers.Qwen2ForCausalLM(config), LlamaPro(num_new_blocks=4))
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert trained == 809_582_592
    numbers = [i for i, layer in enumerate(model.model.layers) if addition_of(layer)]
    assert numbers == [8, 17, 26, 35]


def test_the_language_model_of_a_multimodal_one(tmp_path):
    """The vision tower has as many blocks as the language model here; only the latter grows."""
    model = load("qwen2_vl")
    before = logits(model)
    model = prepare_model(model, LlamaPro(num_new_blocks=1))
    assert len(model.model.visual.blocks) == 2 and len(model.model.language_model.layers) == 3
    assert torch.equal(logits(model), before)
    learn(model, 2, 0.02)
    save_pretrained(model, tmp_path)
    again = from_pretrained(load("qwen2_vl"), tmp_path)
    assert torch.equal(logits(again), logits(model))
    assert not torch.equal(logits(again), before)


def test_in_company_of_lora_in_either_order(tmp_path):
    """Blocks are added first whatever the order, and go on training under the adapter."""
    model = prepare_model(load("qwen2"), {"first": "lora", "second": LlamaPro(num_new_blocks=2)})
    trained = {n for n, p in model.named_parameters() if p.requires_grad}
    assert any("lora_B" in n for n in trained) and any(n.endswith("down_proj.base_layer.weight") for n in trained)
    learn(model, 3, 0.02)
    wanted = logits(model)
    save_pretrained(model, tmp_path)
    again = from_pretrained(load("qwen2"), tmp_path)
    assert torch.allclose(logits(again), wanted, atol=1e-5)
    merged = merge(again)
    assert type(merged) is type(load("qwen2"))
    assert torch.allclose(logits(merged), wanted, atol=1e-5)


def test_a_job_resumes_and_merges(tmp_path):
    """Two steps, then two more from the checkpoint, end as four do; the merged folder loads in transformers."""
    import transformers

    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"{n}?", "response": f"{n}!"}) + "\n" for n in range(6)))
    shared = {
        "model": tiny_model("llama"), "template": "llama3", "dataset": [str(rows)], "tuner": ["llamapro"],
        "llamapro_new_blocks": 1, "device": "cpu", "save_steps": 2, "learning_rate": 0.01, "max_steps": 4,
    }  # fmt: skip
    whole = run("sft", output_dir=str(tmp_path / "whole"), **shared)
    half = tmp_path / "whole" / "checkpoint-2"
    resumed = run("sft", output_dir=str(tmp_path / "resumed"), resume_from_checkpoint=str(half), **shared)
    ends = [done["trainer"].model for done in (whole, resumed)]
    assert torch.equal(logits(ends[0]), logits(ends[1]))
    assert sorted(p.name for p in half.glob("llamapro*")) == ["llamapro.json", "llamapro.safetensors"]

    folder = run("merge-lora", ckpt_dir=whole["checkpoint"], device="cpu")["folders"]["merge-lora"]
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert len(plain.model.layers) == 3
    assert torch.allclose(logits(plain), logits(ends[0]), atol=1e-4)


def test_a_wrong_base_is_refused(tmp_path):
    save_pretrained(prepare_model(load("qwen2"), LlamaPro(num_new_blocks=1)), tmp_path)
    deeper = prepare_model(load("qwen2"), LlamaPro(num_new_blocks=2))
    with pytest.raises(SwiftError, match="2 layers; this one has 4"):
        from_pretrained(deeper, tmp_path)


def test_too_many_blocks_and_unknown_layers_are_refused():
    with pytest.raises(SwiftError, match="the model has 2 layers"):
        prepare_model(load("qwen2"), LlamaPro(num_new_blocks=3))
    with pytest.raises(SwiftError, match=r"Qwen2DecoderLayer\.self_attn: which projection"):
        prepare_model(load("qwen2"), LlamaPro(num_new_blocks=1, output_modules=["down_proj"]))
    with pytest.raises(SwiftError, match="cannot follow adapters"):
        decoder_layers(None, prepare_model(load("qwen2"), "lora"))
