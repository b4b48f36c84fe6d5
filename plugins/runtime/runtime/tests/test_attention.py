"""Rows laid end to end: each attends to itself alone, whatever its family's attention looks like."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from swift_plugin_runtime.batching.attention import (
    BLOCK,
    KEPT,
    NAME,
    SHORT,
    Segments,
    products,
    segment_attention,
    segment_mask,
)
from swift_plugin_runtime.batching.padding_free import keep_rows_apart, why_padded
from swift_testing.tiny import tiny_qwen2
from transformers.models.qwen2.modeling_qwen2 import eager_attention_forward

from swift_core import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 256,
}  # fmt: skip
FAMILIES = {
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM, {}),
    "mistral, windows of 5": (transformers.MistralConfig, transformers.MistralForCausalLM, {"sliding_window": 5}),
    "gemma3, windows and whole": (
        transformers.Gemma3TextConfig, transformers.Gemma3ForCausalLM, {"sliding_window": 4, "head_dim": 8},
    ),
    "llama4, chunks of 6": (
        transformers.Llama4TextConfig, transformers.Llama4ForCausalLM,
        {"attention_chunk_size": 6, "head_dim": 8, "intermediate_size_mlp": 64, "num_local_experts": 2},
    ),
}  # fmt: skip
LENGTHS = (7, 1, 12, 3)


@pytest.fixture(scope="module", params=FAMILIES)
def model(request):
    config_class, model_class, more = FAMILIES[request.param]
    torch.manual_seed(0)
    return model_class(config_class(**SMALL, **more)).eval()


def rows():
    torch.manual_seed(1)
    return [torch.randint(5, 100, (1, n)) for n in LENGTHS]


def laid_end_to_end(model, positions):
    with torch.no_grad():
        return model(input_ids=torch.cat(rows(), dim=1), position_ids=positions, use_cache=False).logits


def restarting():
    return torch.tensor([[n for length in LENGTHS for n in range(length)]])


def test_flat_rows_have_the_logits_of_separate_ones(model):
    assert keep_rows_apart(model)
    assert model.config._attn_implementation == NAME
    with torch.no_grad():
        alone = torch.cat([model(input_ids=row, use_cache=False).logits for row in rows()], dim=1)
    assert torch.allclose(laid_end_to_end(model, restarting()), alone, atol=1e-5)


def test_rows_that_see_each_other_are_noticed(model):
    """The control: without restarting positions one row leaks into the next, and the comparison above would fail."""
    with torch.no_grad():
        alone = torch.cat([model(input_ids=row, use_cache=False).logits for row in rows()], dim=1)
    leaking = laid_end_to_end(model, torch.arange(sum(LENGTHS))[None])
    assert not torch.allclose(leaking, alone, atol=1e-3)


def test_gradients_are_those_of_transformers_own_mask(model):
    if model.config.model_type == "llama4_text":
        model.set_experts_implementation("eager")
    grads = []
    for name in ("sdpa", NAME):
        twin = copy.deepcopy(model)
        twin.set_attn_implementation(name)
        ids = torch.cat(rows(), dim=1)
        twin(input_ids=ids, position_ids=restarting(), labels=ids, use_cache=False).loss.backward()
        grads.append([p.grad for p in twin.parameters() if p.grad is not None])
    assert len(grads[0]) == len(grads[1]) > 10
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*grads, strict=True))


def test_no_mask_of_tokens_by_tokens_is_built():
    found = segment_mask(1, 6, 6, lambda b, h, q, k: (q >= k) & (q // 3 == k // 3), allow_is_causal_skip=False)
    assert isinstance(found, Segments) and found.parts == [(0, 3, None), (3, 6, None)] and found.numel() == 0


def test_a_model_whose_rows_reach_into_each_other_keeps_its_attention():
    """OPT counts its positions behind the rows before."""
    torch.manual_seed(0)
    config = transformers.OPTConfig(
        vocab_size=100, hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4, word_embed_proj_dim=32,
        init_std=0.5,
    )  # fmt: skip
    opt = transformers.OPTForCausalLM(config)
    assert not keep_rows_apart(opt)
    assert opt.config._attn_implementation == "sdpa" and opt.training


def reason(model):
    return why_padded(prepare("sft", [Given("model", "Qwen/Qwen2-7B", "test")]), model)


def test_what_cannot_be_laid_flat_is_said(model):
    assert reason(model) is None
    mamba = transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1))
    assert "state" in reason(mamba)
    lfm2 = transformers.Lfm2ForCausalLM(transformers.Lfm2Config(**SMALL, full_attn_idxs=[0]))
    assert "state" in reason(lfm2)
    own = type("Own", (transformers.Qwen2ForCausalLM,), {"__module__": "transformers_modules.own"})
    assert "not a class of transformers" in reason(own(transformers.Qwen2Config(**SMALL)))


def test_asking_for_the_impossible_is_refused(tmp_path):
    from swift_plugin_runtime.training.feeding import choose_collator

    from swift_core.jobs.steps import attach_tuners
    from swift_core.jobs.train import load_model

    given = {"model": tiny_qwen2(tmp_path / "model"), "padding_free": True}
    job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
    model, processor = load_model(job, None)
    model = attach_tuners(job, model)
    assert choose_collator(job, model, processor, []) and model.get_base_model().config._attn_implementation == NAME
    model.get_base_model()._is_stateful = True
    with pytest.raises(SwiftError, match=r"--padding_free is not possible here: .* state"):
        choose_collator(job, model, processor, [])


def asked(length, dtype=torch.bfloat16):
    """Query, key and value of six heads that share two, as models hand them over: turned, not contiguous."""
    torch.manual_seed(0)
    shapes = [(1, length, heads, width) for heads, width in ((6, 16), (2, 16), (2, 24))]
    return [torch.randn(shape, dtype=dtype).transpose(1, 2).requires_grad_() for shape in shapes]


def plain(query, key, value, scaling=None):
    return torch.nn.functional.scaled_dot_product_attention(
        query, key, value, is_causal=True, scale=scaling, enable_gqa=True
    ).transpose(1, 2)


@pytest.mark.parametrize("scaling", [None, 0.3])
@pytest.mark.parametrize("length", [1, 5, BLOCK, BLOCK + 1, 3 * BLOCK - 7, KEPT + 1])
def test_products_are_the_attention_of_torch(length, scaling):
    """Answers and gradients in float32."""
    tensors = asked(length, torch.float32)
    found, wanted = products(*tensors, scaling), plain(*tensors, scaling)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
    direction = torch.randn_like(wanted)
    pairs = zip(*(torch.autograd.grad(out, tensors, direction) for out in (found, wanted)), strict=True)
    for own, plainly in pairs:
        torch.testing.assert_close(own, plainly, atol=1e-4, rtol=1e-4)


def found_by(tensors):
    """What the attention of segments answers to one segment, in the place of a model's layer."""
    segments = torch.empty(0).as_subclass(Segments)
    segments.parts = [(0, tensors[0].shape[2], None)]
    module = torch.nn.Module()
    module.is_causal, module.num_key_value_groups = True, 3
    return segment_attention(module.eval(), *tensors, segments)[0], module


@pytest.mark.parametrize("length", [40, KEPT + 1])
def test_segments_in_bfloat16_are_as_exact_as_eager_attention(length):
    tensors = asked(length)
    found, module = found_by(tensors)
    unseen = torch.full((length, length), -torch.inf).triu(1).bfloat16()[None, None]
    eager = eager_attention_forward(module, *tensors, unseen, scaling=0.25)[0]
    exact = plain(*(t.float() for t in tensors))
    mine, theirs = [(one.float() - exact).square().mean().sqrt() for one in (found, eager)]
    assert mine <= 1.2 * theirs < 0.01


@pytest.mark.parametrize(("length", "taken"), [(40, True), (SHORT, True), (SHORT + 1, False)])
@torch.no_grad()
def test_segments_up_to_a_length_take_products(length, taken):
    tensors = asked(length)
    assert torch.equal(found_by(tensors)[0], products(*tensors, None)) == taken


def test_of_long_segments_no_weights_are_kept_for_the_gradient():
    """Those of a head of 1,025 tokens would be half a million numbers; tensors of its tokens are kept as they are."""
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: held.append(tensor.numel()) or tensor, lambda t: t):
        products(*asked(2 * KEPT + 1), None)
    assert max(held) <= 6 * 24 * (2 * KEPT + 1)
