"""What a forward pass keeps is estimated from the model's shape; recomputing is decided where a GPU asks for it."""

from __future__ import annotations

import pytest
import torch
import transformers
from swift_plugin_runtime.training.memory import activation_bytes, recomputes, training_bytes
from swift_testing.tiny import tiny_qwen2

from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model

SHAPES = {
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}),
    "llama, wide": (transformers.LlamaConfig, transformers.LlamaForCausalLM, {"intermediate_size": 1024}),
    "mistral, many heads": (transformers.MistralConfig, transformers.MistralForCausalLM, {"num_attention_heads": 8}),
}


def kept_bytes(model, tokens):
    """What autograd really keeps, weights left out, each storage once."""
    weights, seen = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            seen[storage.data_ptr()] = (storage.nbytes(), tensor)  # held, so that no address comes twice
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        model.model(input_ids=torch.arange(tokens)[None] % 50, use_cache=False)
    return sum(size for size, _ in seen.values())


@pytest.mark.parametrize("name", SHAPES)
def test_the_estimate_is_near_what_is_kept(name):
    config, model, more = SHAPES[name]
    shape = config(**{
        "hidden_size": 128, "intermediate_size": 384, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "vocab_size": 64, "pad_token_id": 0, **more,
    })  # fmt: skip
    real = kept_bytes(model(shape), 256)
    assert 0.75 < activation_bytes(shape, 256, 4) / real < 1.4


def test_on_a_cpu_nothing_is_recomputed_unless_asked(tmp_path):
    folder = tiny_qwen2(tmp_path)
    for asked, expected in ((None, False), (True, True), (False, False)):
        given = {"model": folder} if asked is None else {"model": folder, "gradient_checkpointing": asked}
        job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
        model, _ = load_model(job)
        assert recomputes(job, model, 10**9) is expected
    assert training_bytes(job, model) == 3 * 4 * sum(p.numel() for p in model.parameters())
