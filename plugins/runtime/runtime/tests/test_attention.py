"""Rows laid end to end: each attends to itself alone, whatever its family's attention looks like."""

from __future__ import annotations

import copy

import pytest
import torch
import transformers
from swift_plugin_runtime.attention import NAME, Segments, segment_mask
from swift_plugin_runtime.flat import keep_rows_apart, why_padded

from swift_core import SwiftError
from swift_core.job import prepare
from swift_core.options import Given
from swift_core.testing.tiny import tiny_qwen2

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
    from swift_plugin_runtime.training import lay_flat

    from swift_core.jobs.train import attach_tuners, load_model

    given = {"model": tiny_qwen2(tmp_path / "model"), "padding_free": True}
    job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
    model, processor = load_model(job, None)
    model = attach_tuners(job, model)
    assert lay_flat(job, model, processor, []) and model.get_base_model().config._attn_implementation == NAME
    model.get_base_model()._is_stateful = True
    with pytest.raises(SwiftError, match=r"--padding_free is not possible here: .* state"):
        lay_flat(job, model, processor, [])
