"""Head and loss in one give the loss and the gradients of logits that are all there."""

from __future__ import annotations

import pytest
import torch
import transformers
from swift_plugin_runtime.batching.cutting import targets_of
from swift_plugin_runtime.training import fused_loss
from torch.nn import functional

from swift_core import SwiftError

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 64,
}  # fmt: skip


def qwen2(**changes):
    torch.manual_seed(0)
    return transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**SMALL, **changes))


def plain(hidden, weight, bias, targets, weights):
    """The same sum by torch's own cross-entropy."""
    logits = functional.linear(hidden, weight, bias).float()
    return (functional.cross_entropy(logits, targets, reduction="none") * weights).sum()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("together", [2**24, 700], ids=["one part", "parts of seven tokens"])
def test_loss_and_gradients_are_those_of_whole_logits(together, bias, monkeypatch):
    monkeypatch.setattr(fused_loss, "TOGETHER", together)
    monkeypatch.setattr(fused_loss, "TRAINED", 1)
    torch.manual_seed(0)
    shapes = [(20, 16), (100, 16), (100,)]
    given = [torch.randn(s, dtype=torch.float64).float().requires_grad_() for s in shapes]
    given = given if bias else [*given[:2], None]
    targets, weights = torch.randint(100, (20,)), torch.rand(20)
    ours, theirs = (way(*given, targets, weights) for way in (fused_loss.HeadLoss.apply, plain))
    assert torch.allclose(ours, theirs, rtol=1e-6)
    wanted = [t for t in given if t is not None]
    for mine, other in zip(torch.autograd.grad(3 * ours, wanted), torch.autograd.grad(3 * theirs, wanted), strict=True):
        assert torch.allclose(mine, other, atol=1e-5)


def test_a_second_backward_says_that_there_is_none():
    hidden, weight = torch.randn(9, 16, requires_grad=True), torch.randn(50, 16)
    loss = fused_loss.HeadLoss.apply(hidden, weight, None, torch.arange(9), torch.ones(9))
    loss.backward(retain_graph=True)
    with pytest.raises(SwiftError, match="hands them to the first backward"):
        loss.backward()


def test_in_bfloat16_it_rounds_as_whole_logits_do():
    torch.manual_seed(0)
    hidden, weight = torch.randn(9, 16).bfloat16().requires_grad_(), torch.randn(50, 16).bfloat16().requires_grad_()
    targets, weights = torch.randint(50, (9,)), torch.ones(9)
    grads = [
        torch.autograd.grad(way(hidden, weight, None, targets, weights), (hidden, weight))
        for way in (fused_loss.HeadLoss.apply, plain)
    ]
    assert all(torch.allclose(a, b, rtol=0.02, atol=0.02) for a, b in zip(*grads, strict=True))


def test_under_autocast_gradients_come_in_the_precision_of_the_weights():
    hidden, weight = torch.randn(9, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        loss = fused_loss.HeadLoss.apply(hidden, weight, None, torch.arange(9), torch.ones(9))
    assert loss.dtype == torch.float32
    assert all(g.dtype == torch.float32 for g in torch.autograd.grad(loss, (hidden, weight)))


@pytest.mark.parametrize("tied", [False, True])
def test_a_padded_batch_has_the_loss_and_gradients_of_its_logits(tied):
    model = qwen2(tie_word_embeddings=tied)
    ids = torch.randint(5, 100, (2, 10))
    labels = torch.where(torch.rand(2, 10) < 0.5, ids, -100)
    weights = torch.rand(int((labels[:, 1:] != -100).sum()))
    found = []
    for fuse in (True, False):
        model.zero_grad()
        if fuse:
            head, targets = fused_loss.head_for(model, "chunked"), targets_of(labels)
            with fused_loss.fused_loss_in_head(head, "chunked", targets, weights):
                loss = model(input_ids=ids, use_cache=False).logits.sum()
        else:
            kept = labels[:, 1:] != -100
            logits = model(input_ids=ids, use_cache=False).logits[:, :-1][kept]
            loss = (functional.cross_entropy(logits, labels[:, 1:][kept], reduction="none") * weights).sum()
        loss.backward()
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*found, strict=True))
    assert model(input_ids=ids).logits.shape == (2, 10, 100)  # the head is itself again


def test_nobody_asks_for_gradients_in_an_evaluation(monkeypatch):
    model, ids = qwen2(), torch.arange(5, 15)[None]
    monkeypatch.setattr(fused_loss._Gradients, "add", lambda *_: pytest.fail("gradients were computed"))
    head, targets = fused_loss.head_for(model, "auto"), targets_of(ids)
    with torch.no_grad(), fused_loss.fused_loss_in_head(head, "auto", targets, torch.ones(9)):
        assert model(input_ids=ids, use_cache=False).logits.item() > 0


MENDED = {
    "capped": (transformers.Gemma2Config, transformers.Gemma2ForCausalLM, {"head_dim": 8}),
    "scaled": (transformers.CohereConfig, transformers.CohereForCausalLM, {}),
    "divided": (transformers.GraniteConfig, transformers.GraniteForCausalLM, {"logits_scaling": 8.0}),
}


@pytest.mark.parametrize("name", MENDED)
def test_models_that_change_their_logits_keep_them(name):
    config, model, more = MENDED[name]
    torch.manual_seed(0)
    built = model(config(**SMALL, **more))
    assert fused_loss.head_for(built, "auto") is None
    with pytest.raises(SwiftError, match=r"--fused_loss chunked is not possible here: .*ForCausalLM scales, caps"):
        fused_loss.head_for(built, "chunked")


def test_a_head_with_an_adapter_and_a_kernel_without_a_gpu_are_refused():
    import peft

    adapted = peft.get_peft_model(qwen2(), peft.LoraConfig(target_modules=["lm_head", "q_proj"]))
    assert fused_loss.head_for(adapted, "auto") is None
    assert (
        fused_loss.head_for(peft.get_peft_model(qwen2(), peft.LoraConfig(target_modules=["q_proj"])), "auto")
        is not None
    )
    assert fused_loss.head_for(qwen2(), "off") is None
    with pytest.raises(SwiftError, match="needs a GPU"):
        fused_loss.head_for(qwen2(), "cce")


def test_a_head_that_trains_gets_few_shares_of_its_gradient():
    assert fused_loss.tokens_together(152_000, False) == 110
    assert fused_loss.tokens_together(152_000, True) == 512
    assert fused_loss.tokens_together(1000, True) == fused_loss.tokens_together(1000, False) == 16_777
