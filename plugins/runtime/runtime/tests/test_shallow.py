"""What one layer of each kind proves is tried on the first layers alone, and a fault there once more on all."""

from __future__ import annotations

import pytest
import torch
import transformers
from swift_plugin_runtime.batching.padding_free import why_joined
from swift_plugin_runtime.inference.proof import tried_ragged
from swift_plugin_runtime.loading.shallow import shallow, tried

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 256,
}  # fmt: skip
SLIDING = {"head_dim": 8, "sliding_window": 4, "layer_types": ["sliding_attention"] * 3 + ["full_attention"] * 3}

EXPERTS = {
    "head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16, "mlp_only_layers": [1],
}  # fmt: skip


def made(kind, **more):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**{**SMALL, **more})
    return getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config).eval()


def passed(model):
    """The numbers of the layers that a call of the model goes through."""
    seen = []
    hooks = [
        module.register_forward_hook(lambda module, *_: seen.append(module.layer_idx))
        for module in model.modules()
        if hasattr(module, "layer_idx") and hasattr(module, "q_proj")
    ]
    model(input_ids=torch.tensor([[1, 2, 3]]))
    for hook in hooks:
        hook.remove()
    return seen


@pytest.mark.parametrize(
    ("kind", "more", "first"),
    [
        ("Llama", {}, [0] * 6),
        ("Gemma3Text", SLIDING, [0, 0, 0, 3, 3, 3]),
        ("SmolLM3", {"no_rope_layers": [1, 1, 1, 0, 1, 1], "pad_token_id": 0}, [0, 0, 0, 3, 0, 0]),
        ("Qwen3Moe", EXPERTS, [0, 1, 0, 0, 0, 0]),
    ],
)
def test_the_model_goes_through_the_first_layer_of_each_kind(kind, more, first):
    model = made(kind, **more)
    with shallow(model) as found:
        assert found == first
        assert passed(model) == list(range(max(first) + 1))
    assert passed(model) == list(range(6))


def test_layers_of_as_many_kinds_all_stay():
    model = made("Gemma3Text", **{**SLIDING, "layer_types": ["sliding_attention"] * 5 + ["full_attention"]})
    with shallow(model) as found:
        assert found is None and passed(model) == list(range(6))


def test_adapters_in_some_layers_make_kinds_of_their_own():
    import peft

    config = peft.LoraConfig(r=2, target_modules=["q_proj"], layers_to_transform=[4])
    model = peft.get_peft_model(made("Llama"), config)
    with shallow(model) as found:
        assert found == [0, 0, 0, 0, 4, 0]


def test_what_a_layer_was_given_makes_a_kind_of_its_own():
    """A hook, or another function in the place of its forward: they could look at other rows."""
    model = made("Llama")
    model.model.layers[2].register_forward_hook(lambda *_: None)
    model.model.layers[4].mlp.forward = lambda states: states
    with shallow(model) as found:
        assert found == [0, 0, 2, 0, 4, 0]


def test_the_layers_come_back_after_an_error():
    model = made("Llama")
    with pytest.raises(KeyError), shallow(model):
        raise KeyError
    assert passed(model) == list(range(6))


def test_what_fails_on_few_layers_is_tried_on_all():
    model, seen = made("Llama"), []
    assert tried(model, lambda: seen.append(len(passed(model))) or (None if seen[-1] == 6 else "few")) is None
    assert tried(model, lambda: seen.append(len(passed(model)))) is None
    assert tried(model, lambda: seen.append(len(passed(model))) or "never") == "never"
    assert seen == [1, 6, 1, 1, 6]


def test_a_leak_of_the_last_layer_alone_is_found():
    """LFM2's convolution looks into the row before; five layers of attention stand in front of it."""
    assert why_joined(made("Lfm2", full_attn_idxs=list(range(5)))) == "one row reaches into the next"


@pytest.mark.parametrize(("kind", "more"), [("Llama", {}), ("Gemma3Text", SLIDING)])
def test_a_token_takes_the_bytes_of_all_layers(kind, more):
    reason, size = tried_ragged(made(kind, **more))
    assert reason is None
    assert size == 6 * 2 * 2 * 8 * 4  # layers, keys and values, heads, width, bytes
