"""No tuner goes untrained in silence: what each trains is kept training, saved apart, or refused by name."""

from __future__ import annotations

import copy
import functools
import importlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_plugin_adapter import Adapter
from swift_plugin_ln_tuning import LnTuning
from swift_plugin_longlora import LongLora
from swift_plugin_lora import Lora
from swift_plugin_neftune import Neftune
from swift_plugin_reft import Reft
from swift_plugin_runtime.training.untouched import say_untouched
from swift_testing.contracts import tiny_model
from swift_testing.contracts_model import logits_of
from swift_testing.contracts_training import learn
from transformers import AutoModelForCausalLM

from swift_core import SwiftError, from_pretrained, hookimpl, merge, option, prepare_model, save_pretrained
from swift_core.cli.scaffold import write_plugin
from swift_core.contract.tuning import base_modules, base_parameters, notes, own_state, tuning_of
from swift_core.jobs.tuners import load_tuner

ORDERS = pytest.mark.parametrize("order", [("a", "b"), ("b", "a")], ids=["before", "behind"])


def base(family="qwen2"):
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_pretrained(tiny_model(family))


@pytest.fixture(scope="module")
def scaffold(tmp_path_factory):
    """The class that `swift new tuner mine` writes."""
    plugin = write_plugin("tuner", "mine", tmp_path_factory.mktemp("new"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(plugin)
        yield importlib.import_module("swift_plugin_mine").Mine
        patch.delitem(sys.modules, "swift_plugin_mine")


@dataclass(kw_only=True, eq=False)
class Alone:
    """Knows of no other tuner: freezes all that it does not train, and saves all that requires a gradient."""

    swift_api = 1

    ending: str = option("bias", "End of the names that train.")

    @hookimpl
    def attach_tuner(self, model):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name.endswith(self.ending))
        return model

    @hookimpl
    def save_tuner(self, model, folder):
        Path(folder).mkdir(parents=True, exist_ok=True)
        trained = {n: p.detach().clone() for n, p in model.named_parameters() if p.requires_grad}
        save_file(trained, Path(folder, "alone.safetensors"))
        return True


@dataclass(kw_only=True, eq=False)
class Scales:
    """Scales what modules put out whose names end so, and takes them as they are called behind any wrapper."""

    swift_api = 1

    @hookimpl
    def attach_tuner(self, model, name):
        for path, module in model.named_modules():
            if path.endswith("down_proj"):
                module.register_parameter(f"scale_{name}", torch.nn.Parameter(torch.ones(64)))
                module.register_forward_hook(functools.partial(self.scaled, f"scale_{name}"))
        return model

    @staticmethod
    def scaled(key, module, _, output):
        return output * getattr(module, key)

    @hookimpl
    def save_tuner(self, model, folder, name):
        Path(folder).mkdir(parents=True, exist_ok=True)
        save_file(own_state(model, name), Path(folder, "scales.safetensors"))
        return True


@dataclass(kw_only=True, eq=False)
class Copies:
    """Puts a trained copy in the place of the last norm."""

    swift_api = 1

    @hookimpl
    def attach_tuner(self, model):
        norm = base_modules(model)["model.norm"]
        norm.weight = torch.nn.Parameter(norm.weight.detach().clone())
        return model


@dataclass(kw_only=True, eq=False)
class Unused:
    """Adds a parameter that no forward pass reads."""

    swift_api = 1

    @hookimpl
    def attach_tuner(self, model):
        model.unused = torch.nn.Parameter(torch.zeros(3))
        return model


def trained_by(model, label):
    names = tuning_of(model).owned[label]
    return {n: p for n, p in model.named_parameters() if n in names and p.requires_grad}


def loaded(model, folder, trainable=False):
    """A fresh model with what `save_pretrained` wrote, by the components of `model`."""
    fresh, job = base(), tuning_of(model).job
    for item in job.selected:
        fresh = load_tuner(job, fresh, item, str(Path(folder, item.label)), trainable)
    tuning_of(fresh).job = job
    return fresh


@ORDERS
def test_a_tuner_that_freezes_the_rest_lets_earlier_ones_train_and_saves_its_own(order, tmp_path):
    tuners = {"a": Alone(), "b": Lora(lora_rank=4)}
    model = prepare_model(base(), {label: tuners[label] for label in order})
    biases, adapter = trained_by(model, "a"), trained_by(model, "b")
    assert len(biases) == 6 and len(adapter) == 28  # q, k and v of two layers; A and B of seven matrices of two
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    learn(model, 3, 0.01)
    assert all(not p.equal(before[n]) for n, p in {**biases, **adapter}.items())
    save_pretrained(model, tmp_path)
    assert len(load_file(tmp_path / "a" / "alone.safetensors")) == 6
    saved = load_file(tmp_path / "b" / "adapter_model.safetensors")
    assert len(saved) == 28 and all(".lora_" in name for name in saved)
    assert all(p.requires_grad for p in trained_by(model, "b").values()) and len(trained_by(model, "b")) == 28


@ORDERS
def test_parameters_put_into_an_adapted_layer_stay_out_of_the_adapter(order, tmp_path):
    """Behind LoRA they sit in PEFT's own wrapper; both train, and each file holds its own tensors by plain names."""
    tuners = {"a": Scales(), "b": Lora(lora_rank=4)}
    model = prepare_model(base(), {label: tuners[label] for label in order})
    learn(model, 3, 0.01)
    assert all(p.grad is not None for label in order for p in trained_by(model, label).values())
    save_pretrained(model, tmp_path)
    scales = load_file(tmp_path / "a" / "scales.safetensors")
    assert scales.keys() == {f"model.layers.{n}.mlp.down_proj.scale_a" for n in range(2)}
    assert not any(value.eq(1).all() for value in scales.values())
    saved = load_file(tmp_path / "b" / "adapter_model.safetensors")
    assert len(saved) == 28 and all(".lora_" in name for name in saved)


@ORDERS
def test_the_scaffold_beside_lora_saves_the_same_names_in_either_order_and_loads(order, scaffold, tmp_path):
    tuners = {"a": scaffold(), "b": Lora(lora_rank=4)}
    model = prepare_model(base(), {label: tuners[label] for label in order})
    learn(model, 3, 0.01)
    end = logits_of(model)
    save_pretrained(model, tmp_path / "one")
    saved = load_file(tmp_path / "one" / "a" / "mine.safetensors")
    plain = {n for n, _ in base().named_parameters() if n.endswith(("bias", "norm.weight"))}
    assert saved.keys() == plain and len(plain) == 11
    again = loaded(model, tmp_path / "one")
    assert torch.allclose(logits_of(again), end, atol=1e-5)
    assert not any(p.requires_grad for p in again.parameters())
    save_pretrained(again, tmp_path / "two")  # loaded to answer, it is still known whose weights are whose
    for file in ("a/mine.safetensors", "b/adapter_model.safetensors"):
        one, two = load_file(tmp_path / "one" / file), load_file(tmp_path / "two" / file)
        assert one.keys() == two.keys() and all(value.equal(two[name]) for name, value in one.items())
    merged = merge(again)
    assert type(merged) is type(base()) and torch.allclose(logits_of(merged), end, atol=1e-5)


def test_a_copy_of_the_model_saves_what_the_model_would(scaffold, tmp_path):
    model = prepare_model(base(), {"a": scaffold(), "b": Lora(lora_rank=4)})
    notes(model, "a")["seen"] = [1]
    twin = copy.deepcopy(model)
    notes(twin, "a")["seen"].append(2)
    assert notes(model, "a")["seen"] == [1]
    twin.get_submodule("base_model.model.model.norm").weight.data.fill_(3)
    save_pretrained(twin, tmp_path)
    assert load_file(tmp_path / "a" / "mine.safetensors")["model.norm.weight"].unique().tolist() == [3]
    assert own_state(model, "a")["model.norm.weight"].unique().tolist() == [1]


@pytest.mark.parametrize(
    ("tuners", "reason"),
    [
        (
            lambda mine: {"a": mine(), "b": Copies()},
            r"tuner b \(Copies\) takes the place of what tuner a \(Mine\) trains.*model\.norm\.weight\. Name tuner b",
        ),
        (
            lambda mine: {"a": mine(), "b": Lora(modules_to_save=["norm"])},
            r"tuner b \(lora\) takes the place of what tuner a \(Mine\) trains.*norm\.weight and 4 more\. Name",
        ),
        (
            lambda mine: {"a": mine(), "b": mine()},
            r"tuner b \(Mine\) trains nothing beside tuner a \(Mine\)",
        ),
        (lambda mine: {"a": Lora(), "b": mine(mine_pattern="^nothing$")}, r"tuner b \(Mine\) trains nothing beside"),
        (lambda mine: mine(mine_pattern="^nothing$"), "Nothing would be trained"),
    ],
)  # fmt: skip
def test_a_tuner_without_anything_to_train_is_refused_by_name(tuners, reason, scaffold):
    with pytest.raises(SwiftError, match=reason):
        prepare_model(base(), tuners(scaffold))


def test_a_tuner_that_takes_a_place_first_leaves_the_rest_to_the_next(scaffold):
    """The copy of the last norm is the first tuner's own; the scaffold trains the ten others."""
    model = prepare_model(base(), {"b": Copies(), "a": scaffold()})
    assert list(trained_by(model, "b")) == ["model.norm.weight"]
    assert len(trained_by(model, "a")) == 10


@pytest.mark.parametrize(("order", "kind"), [("ab", LongLora), ("ba", LongLora), ("ba", LnTuning)])
def test_whoever_comes_first_trains_the_norms(kind, order, scaffold):
    """LongLoRA and LN tuning train copies: gradients reach everything that trains all the same."""
    tuners = {"a": scaffold(), "b": kind()}
    model = prepare_model(base(), {label: tuners[label] for label in order})
    learn(model, 1, 0.01)
    assert all(p.grad is not None for label in order for p in trained_by(model, label).values())
    norms = sum("norm" in name for name in trained_by(model, order[0]))
    assert norms == 5 and not any("norm" in name for name in trained_by(model, order[1]))


def test_ln_tuning_without_a_norm_of_its_own_is_refused(scaffold):
    with pytest.raises(SwiftError, match="no layer left for ln_tuning"):
        prepare_model(base(), {"a": scaffold(), "b": LnTuning()})


@ORDERS
def test_a_module_named_by_regex_is_the_same_in_either_order(order, tmp_path):
    """Names behind PEFT's wrapper are those before it: the edits sit on the same layers and are saved alike."""
    tuners = {"a": Reft(reft_rank=2, reft_modules=r"model\.layers\.\d\.mlp\.down_proj"), "b": Lora(lora_rank=4)}
    model = prepare_model(base(), {label: tuners[label] for label in order})
    learn(model, 3, 0.02)
    save_pretrained(model, tmp_path)
    hosts = {name.split(".rotate")[0].split(".source")[0] for name in load_file(tmp_path / "a" / "reft.safetensors")}
    assert hosts == {f"model.layers.{n}.mlp.down_proj" for n in range(2)}
    assert all(".lora_" in name for name in load_file(tmp_path / "b" / "adapter_model.safetensors"))
    assert torch.allclose(logits_of(from_pretrained(base(), tmp_path)), logits_of(model), atol=1e-5)


def test_added_modules_are_no_hosts_of_the_next_tuners():
    model = prepare_model(base(), {"a": Reft(reft_rank=2), "b": Adapter(adapter_size=4)})
    hosts = {name.split(".adapter_b")[0].rpartition(".")[2] for name in trained_by(model, "b")}
    assert hosts == {"self_attn", "mlp"}


def test_names_are_plain_behind_every_wrapper():
    plain = dict(base().named_parameters()).keys()
    model = prepare_model(base(), {"a": Lora(lora_rank=4), "b": Reft(reft_rank=2), "noise": Neftune()})
    assert base_parameters(model).keys() == plain
    down = base_modules(model)["model.layers.0.mlp.down_proj"]
    assert (
        type(down) is torch.nn.Linear and down.weight is base_parameters(model)["model.layers.0.mlp.down_proj.weight"]
    )


def test_tuners_may_come_one_call_after_the_other(tmp_path):
    """A second call keeps the first tuner training, and both are saved; a name is given once."""
    model = prepare_model(base(), {"a": Lora(lora_rank=4)})
    model = prepare_model(model, {"b": Reft(reft_rank=2)})
    assert len(trained_by(model, "a")) == 28 and trained_by(model, "b")
    learn(model, 3, 0.02)
    save_pretrained(model, tmp_path)
    assert torch.allclose(logits_of(from_pretrained(base(), tmp_path)), logits_of(model), atol=1e-5)
    with pytest.raises(SwiftError, match="has a tuner 'a' already"):
        prepare_model(model, {"a": Reft(reft_rank=2)})


def test_a_tuner_loaded_to_answer_stays_frozen_beside_a_new_one(tmp_path):
    model = prepare_model(base(), {"a": Lora(lora_rank=4)})
    learn(model, 2, 0.02)
    save_pretrained(model, tmp_path)
    model = prepare_model(from_pretrained(base(), tmp_path), {"b": Lora(lora_rank=2)})
    assert not trained_by(model, "default") and len(trained_by(model, "b")) == 28
    assert not any(".default." in name for name, p in model.named_parameters() if p.requires_grad)


def test_a_merged_model_takes_tuners_anew():
    model = merge(prepare_model(base(), {"a": Lora(lora_rank=4)}))
    assert len(trained_by(prepare_model(model, {"a": Lora(lora_rank=4)}), "a")) == 28


def test_two_noises_train_the_whole_model_as_one_does():
    model = prepare_model(base(), {"a": Neftune(), "b": Neftune()})
    assert all(p.requires_grad for p in model.parameters())


def test_the_first_step_says_which_tuner_it_did_not_reach():
    model = prepare_model(base(), {"a": Lora(lora_rank=4), "b": Unused()})
    job, ids = tuning_of(model).job, torch.arange(3, 15)[None]
    say_untouched(job, model)
    assert job.notes == []  # without any gradient nothing can be said
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    say_untouched(job, model)
    assert len(job.notes) == 1 and job.notes[0].startswith("tuner b: none of its 1 parameters got a gradient")
