"""Answers to one prompt in a flat batch: the prompt is computed once, and nothing that is learnt changes."""

from __future__ import annotations

import pytest
import torch
import transformers
from swift_plugin_runtime.alignment.reference import Remembered, token_logps
from swift_plugin_runtime.batching import shared_rows
from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.batching.padding_free import FlatRows, keep_rows_apart
from swift_plugin_runtime.batching.separation import why_not_shared
from swift_plugin_runtime.batching.shared_rows import LaidRows, by_prompt, common_beginning, side_by_side
from swift_plugin_runtime.training import fused_loss
from swift_plugin_runtime.training.fused_loss import HeadLogps, fuse_logps, logps_head
from torch.nn import functional

from swift_core.templates.encode import IGNORED

SMALL = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 100, "max_position_embeddings": 256,
}  # fmt: skip
FAMILIES = {
    "qwen2": ("Qwen2", {}),
    "mistral, windows of 5": ("Mistral", {"sliding_window": 5}),
    "gemma3, windows and whole": ("Gemma3Text", {"sliding_window": 4, "head_dim": 8}),
    "mixtral": ("Mixtral", {"num_local_experts": 4}),
}
ANSWERS = ((20, 6, 11), (9, 7, 2), (3, 5, 4))
"""(tokens of a prompt, of the better answer, of the worse one)"""


def made(kind, **more):
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(**SMALL, **more)
    return getattr(transformers, f"{kind.removesuffix('Text')}ForCausalLM")(config).eval()


def row(prompt, answer):
    return {"input_ids": [*prompt, *answer], "labels": [IGNORED] * len(prompt) + answer}


def pairs():
    """The chosen rows, then the rejected ones."""
    chance = torch.Generator().manual_seed(1)
    drawn = [[torch.randint(5, 100, (n,), generator=chance).tolist() for n in lengths] for lengths in ANSWERS]
    return [row(prompt, better) for prompt, better, _ in drawn] + [row(prompt, worse) for prompt, _, worse in drawn]


def learnt(model, batch):
    """Log-probabilities, and the gradients of a loss that weighs them unequally."""
    model.zero_grad()
    logps, mask = token_logps(model, batch, temperature=0.7)
    (logps.exp() * torch.linspace(1, 2, logps.numel()).view(logps.shape)).sum().backward()
    return logps.detach(), mask, {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.fixture(params=FAMILIES)
def model(request):
    kind, more = FAMILIES[request.param]
    return made(kind, **more)


@pytest.mark.parametrize("fused", ["auto", "off"])
def test_shared_prompts_change_neither_losses_nor_gradients(model, fused):
    rows = pairs()
    logps, mask, gradients = learnt(model, pad_batch(rows, 0))
    assert keep_rows_apart(model)
    flat = FlatRows(model, set())
    assert why_not_shared(model, flat) is None
    fuse_logps(model, fused)
    assert (logps_head(model) is not None) == (fused == "auto")
    batch = LaidRows(flat, True)(rows, side_by_side(3))
    assert batch["input_ids"].shape[1] == sum(len(r["input_ids"]) for r in rows) - 19 - 8  # the last ones are their own
    shared, its_mask, its_gradients = learnt(model, batch)
    assert torch.equal(mask, its_mask) and torch.allclose(logps, shared, atol=1e-5)
    assert gradients.keys() == its_gradients.keys()
    largest = max(g.abs().max() for g in gradients.values())
    assert all(torch.allclose(gradients[n], its_gradients[n], atol=1e-5 * float(largest)) for n in gradients)


def test_without_the_beginning_the_answers_differ(model):
    """The control: the comparison above sees a lost prompt, and the trial refuses such a model."""
    keep_rows_apart(model)
    rows, flat = pairs(), FlatRows(model, set())
    batch = LaidRows(flat, True)(rows, side_by_side(3))
    batch["layout"].beginnings.clear()
    lost = learnt(model, batch)[0]
    assert not torch.allclose(lost, learnt(model, LaidRows(flat, False)(rows, side_by_side(3)))[0], atol=1e-3)


def test_a_model_that_reaches_across_shares_nothing():
    keep_rows_apart(model := made("Qwen2"))
    attend = type(model.model.layers[0].self_attn).forward

    def leaking(self, hidden_states, *arguments, **named):
        return attend(self, hidden_states + hidden_states.roll(3, 1), *arguments, **named)

    for layer in model.model.layers:
        layer.self_attn.forward = leaking.__get__(layer.self_attn)
    assert why_not_shared(model, FlatRows(model, set())) == "one answer reaches into the next"


def test_what_is_shared_is_neither_trained_nor_short_nor_a_picture():
    prompt = list(range(30))
    one, other = row(prompt, [41, 42]), row(prompt, [41, 50])
    assert common_beginning([one, other]) == 29
    assert common_beginning([one]) == 0
    assert common_beginning([row(prompt[: shared_rows.LEAST], [1]), row(prompt[: shared_rows.LEAST], [2])]) == 0
    assert common_beginning([{**one, "pixel_values": torch.zeros(1)}, other]) == 0
    assert common_beginning([{**one, "kinds": [0] * 32}, {**other, "kinds": [1] * 32}]) == 0
    assert by_prompt([one, other, row(prompt[:20], [1]), one]) == [[0, 1], [2], [3]]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize("trains", [True, False], ids=["head trains", "head is frozen"])
@pytest.mark.parametrize("together", [2**24, 700], ids=["one part", "parts of seven tokens"])
def test_log_probabilities_in_the_head_are_those_of_whole_logits(together, trains, temperature, monkeypatch):
    monkeypatch.setattr(fused_loss, "TOGETHER", together)
    monkeypatch.setattr(fused_loss, "TRAINED", 1)
    torch.manual_seed(0)
    hidden, weight, bias = (torch.randn(shape) for shape in ((20, 16), (100, 16), (100,)))
    given = [hidden.requires_grad_(), *((weight.requires_grad_(), bias.requires_grad_()) if trains else ())]
    targets, weights = torch.randint(100, (20,)), torch.rand(20)
    ours = HeadLogps.apply(hidden, weight, bias, targets, temperature)
    logits = functional.linear(hidden, weight, bias) / temperature
    theirs = -functional.cross_entropy(logits, targets, reduction="none")
    assert torch.allclose(ours, theirs, atol=1e-5)
    grads = [torch.autograd.grad((logps * weights).sum(), given) for logps in (ours, theirs)]
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*grads, strict=True))


def test_the_reference_is_asked_once_for_each_row():
    asked = []

    def ask():
        asked.append(1)
        return torch.tensor([-1.5, -2.25])

    kept, none = Remembered(True), Remembered(False)
    assert kept.of([4, 7], ask).tolist() == [-1.5, -2.25] and len(asked) == 1
    assert kept.of([7, 4], ask).tolist() == [-2.25, -1.5] and len(asked) == 1
    kept.of([4, 8], ask)
    kept.of(None, ask)
    none.of([4, 7], ask)
    none.of([4, 7], ask)
    assert len(asked) == 5
