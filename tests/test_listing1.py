"""Listing 1 of the SWIFT paper: tuners by name on one model, switched on and off, put away, saved and loaded again."""

from __future__ import annotations

import pytest
import torch
from swift_plugin_adapter import Adapter
from swift_plugin_ia3 import Ia3
from swift_plugin_llamapro import LlamaPro
from swift_plugin_lora import Lora
from swift_plugin_reft import Reft
from swift_testing.contracts import CHAT, tiny_model, write_rows
from swift_testing.contracts_model import logits_of
from swift_testing.contracts_training import learn
from transformers import AutoModelForCausalLM, Trainer, TrainingArguments

from swift_core import SwiftError, activate, deactivate, from_pretrained, merge, prepare_model, save_pretrained
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.tuning import tuning_of
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model


def base():
    return AutoModelForCausalLM.from_pretrained(tiny_model("llama"))


def near(one, other):
    return torch.allclose(one, other, atol=1e-5)


PAIRS = {
    "lora and llamapro": lambda: {"first": Lora(lora_rank=4), "second": LlamaPro(num_new_blocks=1)},
    "two loras": lambda: {"first": Lora(lora_rank=4), "second": Lora(lora_rank=2, target_modules=["q_proj", "v_proj"])},
    "lora and adapter": lambda: {"first": Lora(lora_rank=4), "second": Adapter(adapter_size=4)},
    "reft and lora": lambda: {"first": Reft(reft_rank=2), "second": Lora(lora_rank=4)},
    "ia3 and adapter": lambda: {"first": Ia3(), "second": Adapter(adapter_size=4)},
    "adapter and llamapro": lambda: {"first": Adapter(adapter_size=4), "second": LlamaPro(num_new_blocks=1)},
}


@pytest.mark.parametrize("pair", PAIRS)
def test_two_tuners_train_together_switch_apart_and_load_again(pair, tmp_path):
    """Both learn; each can be left out alone; with neither the model is the base; saved and loaded it is the same."""
    plain = logits_of(base())
    model = prepare_model(base(), PAIRS[pair]())
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    learn(model, 3, 0.02)
    moved = {n for n, p in model.named_parameters() if not p.detach().equal(before[n])}
    assert moved <= {n for n, p in model.named_parameters() if p.requires_grad}
    both = logits_of(model)
    alone = []
    for name, other in (("first", "second"), ("second", "first")):
        deactivate(model, other)
        alone.append(logits_of(model))
        assert not near(alone[-1], plain) and not near(alone[-1], both), f"{name} alone"
        activate(model, other)
    assert near(logits_of(model), both)
    deactivate(model, "first", "second")
    assert near(logits_of(model), plain)
    activate(model, "first", "second")
    save_pretrained(model, tmp_path)
    again = from_pretrained(base(), tmp_path)
    assert near(logits_of(again), both)
    names = [item.label for item in tuning_of(again).job.selected]
    deactivate(again, next(n for n in names if n.endswith("second")))
    assert near(logits_of(again), alone[0])


@pytest.mark.parametrize("place", ["cpu", "meta"])
@pytest.mark.parametrize("kind", [Lora, lambda **_: Adapter(adapter_size=4)])
def test_inactive_tuners_are_put_away_and_come_back(kind, place):
    """On `meta` their weights hold no memory; back they are the same to the bit."""
    model = prepare_model(base(), {"first": kind(), "second": Lora(lora_rank=2)})
    learn(model, 2, 0.02)
    both = logits_of(model)
    deactivate(model, "first", offload=place)
    put_away = [p for n, p in model.named_parameters() if "first" in n]
    assert put_away and all(p.device.type == place for p in put_away)
    assert logits_of(model).isfinite().all()
    activate(model, "first")
    assert all(p.device.type == "cpu" for p in model.parameters())
    assert torch.equal(logits_of(model), both)


def test_any_trainer_trains_it(tmp_path):
    """The listing's own loop: a transformers Trainer over plain token rows."""
    torch.manual_seed(0)
    model = prepare_model(base(), {"first": Lora(lora_rank=4), "second": LlamaPro(num_new_blocks=1)})
    ids = torch.arange(3, 23)
    rows = [{"input_ids": ids, "labels": ids}] * 8
    args = TrainingArguments(
        str(tmp_path), max_steps=10, learning_rate=0.005, logging_steps=1, report_to=[], use_cpu=True,
        save_strategy="no", disable_tqdm=True,
    )  # fmt: skip
    trainer = Trainer(model=model, args=args, train_dataset=rows)
    trainer.train()
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    assert losses[-1] < losses[0]


class Plain(torch.nn.Module):
    """A network that transformers knows nothing of."""

    def __init__(self):
        super().__init__()
        self.body = torch.nn.Sequential(torch.nn.Linear(6, 12), torch.nn.ReLU(), torch.nn.Linear(12, 6))
        self.head = torch.nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.body(x))


def test_any_module_takes_tuners(tmp_path):
    """All its linear layers by default, or those a regex names; merged it is the class that it was."""
    torch.manual_seed(0)
    net, x = Plain(), torch.randn(3, 6)
    start = {k: v.clone() for k, v in net.state_dict().items()}
    before = net(x)
    model = prepare_model(net, {"low": Lora(lora_rank=2), "edit": Reft(reft_rank=2, reft_modules=r"body\.2")})
    assert sum("lora_A" in n for n, _ in model.named_parameters()) == 3
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    both = model(x)
    assert not near(both, before)
    save_pretrained(model, tmp_path)
    fresh = Plain()
    fresh.load_state_dict(start)
    assert near(from_pretrained(fresh, tmp_path)(x), both)
    deactivate(model, "low", "edit")
    assert near(model(x), before)
    single = Plain()
    single.load_state_dict(start)
    tuned = prepare_model(single, Lora(lora_rank=2))
    torch.nn.init.normal_(tuned.base_model.model.head.lora_B["default"].weight)
    wanted = tuned(x)
    merged = merge(tuned)
    assert type(merged) is Plain and near(merged(x), wanted)


@pytest.mark.parametrize(
    ("tuners", "reason"),
    [
        ({"one": "full", "two": "lora"}, "every weight trains already"),
        ({"one": "lisa", "two": "adapter"}, "freezes and thaws whole layers"),
        ({"one": "prompt", "two": "lora"}, "outside the model, where no second tuner fits"),
        ({"one": "lora", "two": "ia3"}, "wrapped for lora adapters takes no ia3"),
        ({"one": "adalora", "two": "adalora"}, "takes one adalora tuner"),
        ({"one": "ln_tuning", "two": "ln_tuning"}, "takes one ln_tuning tuner"),
    ],
)
def test_pairs_that_do_not_compose_are_refused_with_the_reason(tuners, reason):
    with pytest.raises(SwiftError, match=reason):
        prepare_model(base(), tuners)


COMPANIONS = ("lora", "ia3", "ln_tuning", "llamapro", "longlora", "adapter", "restuning", "side", "neftune")
WITHOUT_NAMES = ("llamapro", "neftune")
"""Tuners whose parameters do not carry the tuner's label: whole blocks by number, none at all."""


def fresh(tuner):
    return LlamaPro(num_new_blocks=1) if tuner == "llamapro" else tuner


@pytest.mark.parametrize("first", COMPANIONS)
def test_every_pair_trains_or_is_refused_with_the_reason(first):
    """Any two, in either order: gradients reach something of both, or a SwiftError says why not."""
    ids = torch.arange(3, 15).unsqueeze(0)
    refused = []
    for second in COMPANIONS:
        named = {"first": first, "second": second}
        try:
            model = prepare_model(base(), {label: fresh(tuner) for label, tuner in named.items()}).train()
        except SwiftError:
            refused.append(second)
            continue
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        reached = [n for n, p in model.named_parameters() if p.grad is not None]
        for label, tuner in named.items():
            assert tuner in WITHOUT_NAMES or any(label in n for n in reached), (first, second)
    of_peft = {"lora", "ia3", "ln_tuning", "longlora"}
    assert set(refused) <= (of_peft if first in of_peft else set())


TUNERS = [entry.name for entry in Catalogue.installed().of_kind("tuner") if entry.name != "unsloth"]  # CUDA alone
ASKED = {
    "eva": {"eva_tau": 0.0, "eva_rho": 1.0, "eva_rows": 2},
    "freeze": {"freeze_parameters": ["model.embed_tokens"]},
    "lisa": {"lisa_activated_layers": 1},
    "llamapro": {"num_new_blocks": 1},
    "loftq": {"quantizer": "bnb"},
    "peft": {"peft_type": "shira", "peft_args": {"r": 4}},
    "trainable_tokens": {"trainable_token_indices": [3, 4, 5]},
}
"""Options that a tuner cannot do without here."""


@pytest.mark.parametrize("first", TUNERS)
def test_a_job_takes_any_two_installed_tuners_or_says_why_not(first):
    """Each pair once, each tuner beside itself too, as `swift sft --tuner first=… second=…` attaches them."""
    folder, ids = tiny_model("llama"), torch.arange(3, 15).unsqueeze(0)
    rows = write_rows(folder, CHAT * 4)
    for second in TUNERS[TUNERS.index(first) :]:
        named = {"first": first, "second": second}
        told = {"model": folder, "dataset": [rows], "device": "cpu", "tuner": [f"{k}={v}" for k, v in named.items()]}
        told |= {**ASKED.get(first, {}), **ASKED.get(second, {})}
        try:
            job = prepare("sft", [Given(k, v, "test") for k, v in told.items()])
            model = attach_tuners(job, load_model(job)[0]).train()
        except SwiftError:
            continue
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
        reached = [n for n, p in model.named_parameters() if p.grad is not None]
        for label, tuner in named.items():
            assert tuner in (*WITHOUT_NAMES, "full", "freeze", "lisa") or any(label in n for n in reached), (
                first,
                second,
            )


@pytest.mark.parametrize("second", ["eva", "loraga"])
def test_starts_that_PEFT_computes_on_plain_models_come_first(second):
    folder, tuners = tiny_model("llama"), ["first=lora", f"second={second}"]
    told = {"model": folder, "dataset": [write_rows(folder, CHAT)], "device": "cpu", "tuner": tuners}
    job = prepare("sft", [Given(k, v, "test") for k, v in told.items()])
    with pytest.raises(SwiftError, match=f"name {second} before the others"):
        attach_tuners(job, load_model(job)[0])


def test_a_container_cannot_be_a_host():
    with pytest.raises(SwiftError, match="name one of the modules inside"):
        prepare_model(Plain(), Reft(reft_modules="body"))


def test_names_that_are_not_there_and_tuners_that_cannot_be_left_out():
    model = prepare_model(base(), {"first": "freeze"})
    with pytest.raises(SwiftError, match="Did you mean 'first'"):
        deactivate(model, "frist")
    with pytest.raises(SwiftError, match="cannot be left out"):
        deactivate(model, "first")
    with pytest.raises(SwiftError, match="go to cpu or meta"):
        deactivate(prepare_model(base(), "lora"), "default", offload="disk")
