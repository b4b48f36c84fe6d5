"""LoRA in one function: the answers and gradients of PEFT's layer, and PEFT's layer where more is asked for."""

import copy

import peft
import pytest
import torch
from peft.tuners.lora.layer import Linear
from swift_plugin_runtime.tuning.low_rank import QuickLinear, quicken
from torch import nn


def layers(dtype=torch.float32, bias=True, **config):
    """One model with PEFT's layer and one with ours, with the same weights, and rows of 24 numbers."""
    torch.manual_seed(0)
    plain = peft.get_peft_model(
        nn.Sequential(nn.Linear(24, 40, bias=bias)).to(dtype),
        peft.LoraConfig(r=4, lora_alpha=8, target_modules=["0"], init_lora_weights=False, **config),
    )
    quick = copy.deepcopy(plain)
    quicken(quick)
    assert type(quick.base_model.model[0]) is QuickLinear
    return plain, quick, torch.randn(2, 7, 24, dtype=dtype)


def learnt(model, rows, asked=True):
    """Answers, and the gradients of the rows and of what trains."""
    rows = rows.clone().requires_grad_(asked)
    made = model(rows)
    torch.manual_seed(1)
    trained = [p for p in model.parameters() if p.requires_grad]
    return made, torch.autograd.grad(made, [rows] * asked + trained, torch.randn_like(made))


def calls_peft(model, rows, monkeypatch):
    """Whether PEFT's own forward pass is taken."""
    called = []
    own = Linear.forward
    monkeypatch.setattr(Linear, "forward", lambda *args, **kwargs: called.append(1) or own(*args, **kwargs))
    model(rows)
    return bool(called)


@pytest.mark.parametrize("asked", [True, False], ids=["inside", "first layer"])
@pytest.mark.parametrize("bias", [True, False])
def test_answers_and_gradients_are_those_of_peft(bias, asked, monkeypatch):
    plain, quick, rows = layers(bias=bias)
    for found, wanted in zip(learnt(quick, rows, asked)[1], learnt(plain, rows, asked)[1], strict=True):
        torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(quick(rows), plain(rows))
    assert not calls_peft(quick, rows, monkeypatch)


def test_in_bfloat16_it_is_as_exact_as_peft():
    plain, quick, rows = layers(torch.bfloat16)
    exact = learnt(copy.deepcopy(plain).float(), rows.float())
    parts = zip(*([made, *grads] for made, grads in (learnt(quick, rows), learnt(plain, rows), exact)), strict=True)
    for mine, theirs, wanted in parts:
        off = [(one.float() - wanted).norm() / wanted.norm() for one in (mine, theirs)]
        assert off[0] < max(2 * off[1], 0.005)


def test_gradients_come_in_the_precision_of_what_trains():
    _, quick, rows = layers(torch.bfloat16)
    weights = [p for p in quick.parameters() if p.requires_grad]
    assert {p.dtype for p in weights} == {torch.float32}
    quick(rows).sum().backward()
    assert {p.grad.dtype for p in weights} == {torch.float32}


def test_the_input_is_kept_once_and_as_it_came():
    _, quick, rows = layers(torch.bfloat16)
    held = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: held.append(tensor) or tensor, lambda t: t):
        quick(rows.requires_grad_())
    assert [t.dtype for t in held if t.numel() == rows.numel()] == [torch.bfloat16]
    assert all(t.numel() <= rows.numel() or t is quick.base_model.model[0].weight for t in held)


@pytest.mark.parametrize("config", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}])
def test_other_adapters_are_pefts_own(config, monkeypatch):
    assert calls_peft(*layers(**config)[1:], monkeypatch)


def test_the_other_states_of_a_layer_are_pefts_own(monkeypatch):
    plain, quick, rows = layers()
    with quick.disable_adapter():
        torch.testing.assert_close(quick(rows), plain.get_base_model()[0].base_layer(rows))
    quick.merge_adapter()
    torch.testing.assert_close(quick(rows), plain(rows))
    quick.unmerge_adapter()
    for model in (plain, quick):
        torch.manual_seed(2)
        model.add_adapter("more", peft.LoraConfig(r=2, target_modules=["0"], init_lora_weights=False))
        model.base_model.set_adapter(["default", "more"])
    torch.testing.assert_close(quick(rows), plain(rows))
    assert calls_peft(quick, rows, monkeypatch)


def test_a_layer_whose_parts_are_waited_for_is_called():
    """As DeepSpeed's hooks do, which bring weights for the time of a call, and accelerate, which takes their place."""
    for watch in ("hook", "forward"):
        _, quick, rows = layers()
        base, called = quick.base_model.model[0].base_layer, []
        if watch == "hook":
            base.register_forward_pre_hook(lambda *_, called=called: called.append(1))
        else:
            own = base.forward
            base.forward = lambda *args, called=called, own=own: called.append(1) or own(*args)
        quick(rows)
        assert called


def test_a_layer_that_trains_is_pefts_own():
    plain, quick, rows = layers()
    for model in (plain, quick):
        model.base_model.model[0].base_layer.weight.requires_grad_(True)
    for found, wanted in zip(learnt(quick, rows)[1], learnt(plain, rows)[1], strict=True):
        torch.testing.assert_close(found, wanted)


def test_under_autocast_it_is_pefts_own(monkeypatch):
    _, quick, rows = layers()
    with torch.autocast("cpu", torch.bfloat16):
        assert calls_peft(quick, rows, monkeypatch)


def test_it_is_saved_as_an_adapter_of_peft(tmp_path):
    plain, quick, rows = layers()
    quick.save_pretrained(tmp_path)
    again = peft.PeftModel.from_pretrained(copy.deepcopy(plain).unload(), tmp_path)
    torch.testing.assert_close(again(rows), plain(rows))
