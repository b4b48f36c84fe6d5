"""What trains in 16 bits keeps what it learns: in memory, in the file, and across a stop."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file
from swift_plugin_runtime import rounding
from swift_plugin_runtime.training import adamw
from swift_plugin_runtime.training import masters as masters_module
from swift_plugin_runtime.training.finite import check_weights
from swift_plugin_runtime.training.masters import GIB, MASTERS_FILE, Masters, choose, lift
from swift_plugin_runtime.training.memory import training_bytes
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.api import run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model

STEP = 2.0**-8
"""The distance of two neighbours in bfloat16 is at most this share of their size times two."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `base`, a tiny bfloat16 checkpoint, and `rows.jsonl`."""
    place = tmp_path_factory.mktemp("masters")
    tiny_qwen2(place / "base")
    transformers.AutoModelForCausalLM.from_pretrained(place / "base", dtype=torch.bfloat16).save_pretrained(
        place / "base"
    )
    rows = [{"query": f"What is {i}+{j}?", "response": str(i + j)} for i in range(4) for j in range(4)]
    (place / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return place


def train(place, name, **more):
    """The checkpoint of a run of four steps at a rate far below a step of most weights."""
    given = {
        "model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "output_dir": str(place / name),
        "device": "cpu", "tuner": ["full"], "max_steps": 4, "save_steps": 2, "learning_rate": 1e-5,
        "lr_scheduler_type": "constant", **more,
    }  # fmt: skip
    return Path(run(given.pop("command", "sft"), **given)["checkpoint"])


def weights(checkpoint, file="model.safetensors"):
    return load_file(checkpoint / file)


def chosen(place, **given):
    """(job, model with its tuners) of a training run."""
    given = {"model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "device": "cpu", **given}
    job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
    return job, attach_tuners(job, load_model(job)[0])


@pytest.fixture(scope="module")
def exact(place):
    """What the same run makes of the same checkpoint in float32."""
    return weights(train(place, "float32", torch_dtype="float32"))


def test_on_a_cpu_without_bfloat16_the_run_is_the_float32_run(place, exact, capfd, monkeypatch):
    """The masters are bit for bit the weights of a float32 run; the file holds one of the two neighbours of each."""
    monkeypatch.setattr(masters_module, "multiplies_bfloat16", lambda: False)
    checkpoint = train(place, "auto")
    assert "masters: the weights are float32 while they train" in "".join(capfd.readouterr())
    masters, saved = weights(checkpoint, MASTERS_FILE), weights(checkpoint)
    assert all(torch.equal(masters[name], value) for name, value in exact.items() if name in masters)
    assert {str(v.dtype) for v in saved.values()} == {"torch.bfloat16"}
    assert json.loads((checkpoint / "config.json").read_text())["dtype"] == "bfloat16"
    for name, master in masters.items():
        assert ((saved[name].float() - master).abs() <= master.abs() * 2 * STEP + 1e-40).all()
    assert kept(place, masters, saved) == pytest.approx(1, abs=0.1)


def kept(place, masters, saved):
    """The share of what was learnt that is in the file: 1 where rounding takes nothing from it on average."""
    before = weights(place / "base")
    names = [name for name in masters if masters[name].dim() > 1]
    learnt = torch.cat([(masters[n] - before[n].float()).flatten() for n in names]).double()
    there = torch.cat([(saved[n].float() - before[n].float()).flatten() for n in names]).double()
    return float(there @ learnt / (learnt @ learnt))


@pytest.mark.parametrize("where", ["optimizer", "none"])
def test_beside_or_without_masters_as_much_is_learnt(place, exact, where):
    """bfloat16 weights move on average as the float32 run's; added to the nearest they would move by 2 % of it."""
    saved = weights(train(place, where, master_weights=where))
    assert {str(v.dtype) for v in saved.values()} == {"torch.bfloat16"}
    assert kept(place, exact, saved) == pytest.approx(1, abs=0.15)


def test_masters_in_the_optimizer_take_every_step_exactly(place):
    """AdamW on masters, by its formula, with bfloat16 gradients; the decay acts where the gradient is zero."""
    _, model = chosen(place, tuner=["full"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, weight_decay=0.1)
    masters = Masters("optimizer", 0, lambda: 1)
    masters.join(model, optimizer)
    weight = model.model.layers[0].mlp.up_proj.weight
    before = weight.detach().float()
    weight.grad = torch.zeros_like(weight)
    weight.grad[0] = 0.25
    optimizer.step()
    expected = before * (1 - 1e-5 * 0.1)
    expected[0] -= 1e-5 * 0.25 / (0.25 + 1e-8)
    assert torch.allclose(masters.values[weight], expected, rtol=1e-7, atol=0)
    assert weight.dtype == torch.bfloat16 and weight.grad.dtype == torch.bfloat16 and weight.grad[0, 0] == 0.25
    assert optimizer.state[weight]["exp_avg"].dtype == torch.float32
    assert list(masters.values) == [weight]  # the others had no gradient, and have no master


SCHEMES = {
    "model": {"master_weights": "model"},
    "optimizer": {"master_weights": "optimizer"},
    "none": {"master_weights": "none"},
    "accumulated": {"master_weights": "optimizer", "gradient_accumulation_steps": 2},
    "layers drawn": {"tuner": ["lisa"], "lisa_step_interval": 1, "lisa_activated_layers": 1,
                     "master_weights": "optimizer"},
    "lora": {"tuner": ["lora"], "modules_to_save": ["embed_tokens"]},
    "schedule-free": {"optimizer": "schedule_free", "master_weights": "optimizer"},
    "muon": {"optimizer": "muon", "master_weights": "optimizer"},
    "layerwise": {"optimizer": "adalomo", "master_weights": "optimizer"},
    "adafactor": {"optimizer": "adafactor", "master_weights": "optimizer"},
    "eight bits": {"optimizer": "adam8bit", "master_weights": "optimizer"},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMES)
def test_a_stopped_run_goes_on_bit_by_bit(place, name):
    straight = train(place, f"{name} straight", learning_rate=1e-4, **SCHEMES[name])
    stopped = straight.with_name("stopped")
    shutil.move(straight, stopped)
    resumed = train(place, f"{name} straight", learning_rate=1e-4, resume_from_checkpoint="last", **SCHEMES[name])
    files = sorted(f.name for f in stopped.glob("*.safetensors"))
    assert files == sorted(f.name for f in resumed.glob("*.safetensors")) != []
    for file in files:
        one, other = weights(stopped, file), weights(resumed, file)
        assert one.keys() == other.keys()
        assert all(torch.equal(value, other[key]) for key, value in one.items()), file
    state = torch.load(resumed / "optimizer.pt", weights_only=False)["state"]
    held = {v.dtype for s in state.values() for v in s.values() if torch.is_tensor(v) and v.dim()}
    assert held <= {torch.float32, torch.uint8}


def test_a_checkpoint_without_masters_is_said(place, capfd):
    first = train(place, "short", save_only_model=True, max_steps=2)
    assert not (first / MASTERS_FILE).exists()
    train(place, "short", resume_from_checkpoint="last")
    assert "holds no float32 masters" in "".join(capfd.readouterr())


def test_adapters_are_float32_on_a_bfloat16_base(place):
    _, model = chosen(place, tuner=["lora"])
    types = {n.split(".")[-3] if "lora_" in n else "base": p.dtype for n, p in model.named_parameters()}
    assert types == {"base": torch.bfloat16, "lora_A": torch.float32, "lora_B": torch.float32}


def test_a_merge_keeps_what_a_light_adapter_learnt(place):
    """Along its own direction, ΔW is in the merged file as it is in the adapter; the nearest would drop a part."""
    checkpoint = train(place, "light", tuner=["lora"], learning_rate=2e-6)
    merged = Path(run("merge-lora", ckpt_dir=str(checkpoint), device="cpu")["folders"]["merge-lora"])
    again = run("merge-lora", ckpt_dir=str(checkpoint), device="cpu", output_dir=str(place / "again"))
    adapter, base, saved = weights(checkpoint, "adapter_model.safetensors"), weights(place / "base"), weights(merged)
    stem = "base_model.model.{}.lora_{}.weight"
    names = [key for key in base if stem.format(key.removesuffix(".weight"), "A") in adapter]
    made, nearest, wanted = [], [], []
    for key in names:
        a, b = (adapter[stem.format(key.removesuffix(".weight"), side)] for side in "AB")
        delta = 4 * b @ a
        wanted.append(delta.flatten().double())
        made.append((saved[key].float() - base[key].float()).flatten().double())
        nearest.append(((base[key].float() + delta).bfloat16().float() - base[key].float()).flatten().double())
    size = torch.cat(wanted).square().sum()
    assert torch.cat(made) @ torch.cat(wanted) / size == pytest.approx(1, abs=0.1)
    assert torch.cat(nearest) @ torch.cat(wanted) / size < 0.7
    assert all(torch.equal(v, saved[k]) for k, v in weights(Path(again["folders"]["merge-lora"])).items())


def test_policy_and_reference_begin_alike(place):
    """Whole weights train in float32 from a bfloat16 checkpoint: the rewards of the first step are zero."""
    pairs = [{"query": "2+3?", "response": "5", "rejected_response": str(n)} for n in (4, 6)]
    (place / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs))
    dataset = [str(place / "pairs.jsonl")]
    checkpoint = train(place, "dpo", command="rlhf", trainer="dpo", dataset=dataset, logging_steps=1, max_steps=2)
    log = [json.loads(line) for line in (checkpoint.parent / "logging.jsonl").read_text().splitlines()]
    assert log[0]["rewards/chosen"] == log[0]["rewards/rejected"] == 0
    assert log[1]["rewards/margins"] != 0


def test_memory_and_the_processor_decide(place, monkeypatch):
    job, model = chosen(place, tuner=["full"])
    count = sum(p.numel() for p in model.parameters())
    for multiplies, where in ((True, "optimizer"), (False, "model")):
        monkeypatch.setattr(masters_module, "multiplies_bfloat16", lambda answer=multiplies: answer)
        assert choose(job, model, free=14 * count)[0] == where
    assert choose(job, copy.deepcopy(model).half(), free=14 * count)[0] == "model"
    where, said = choose(job, model, free=14 * count - 1)
    assert where == "none" and f"{14 * count / GIB:.1f} GiB" in said
    assert training_bytes(job, model) == 14 * count
    assert training_bytes(*chosen(place, tuner=["full"], master_weights="none")) == 10 * count
    assert choose(*chosen(place, tuner=["full"], torch_dtype="bfloat16"))[0] == "optimizer"
    assert choose(*chosen(place, tuner=["full"], torch_dtype="float32")) == ("", "")
    assert choose(*chosen(place, tuner=["lora"])) == ("", "")
    with pytest.raises(SwiftError, match="DeepSpeed keeps masters of its own"):
        choose(*chosen(place, tuner=["full"], deepspeed="zero2", launcher="torchrun", master_weights="model"))


def test_ties_survive_lifting(tmp_path):
    tiny_qwen2(tmp_path, tie_word_embeddings=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.bfloat16)
    masters = Masters("model", 1, lambda: 0)
    masters.lift(model)
    assert model.lm_head.weight is model.model.embed_tokens.weight and model.lm_head.weight.dtype == torch.float32
    state = masters.state_to_save(model, model.state_dict())
    assert state["lm_head.weight"].data_ptr() == state["model.embed_tokens.weight"].data_ptr()
    assert {v.dtype for v in state.values()} == {torch.bfloat16}
    assert lift(model) == {}


def test_a_loss_that_is_not_finite_ends_the_run(place):
    """The error names the step and the rows; what was saved before is whole, and nothing else was saved."""
    with pytest.raises(SwiftError, match=r"(?s)The loss of step [234] is (nan|inf).*What is \d\+\d\?"):
        train(place, "nan", learning_rate=1e30, save_steps=1, max_grad_norm=0.0, master_weights="model")
    for checkpoint in (place / "nan").glob("checkpoint-*"):
        assert all(torch.isfinite(value).all() for value in weights(checkpoint).values())


def test_weights_that_are_not_finite_are_not_saved(place):
    _, model = chosen(place, tuner=["lora"])
    check_weights(model)
    model.base_model.model.model.layers[1].mlp.up_proj.lora_B.default.weight.data[3, 2] = torch.inf
    with pytest.raises(SwiftError, match=r"layers.1.mlp.up_proj.lora_B.* holds NaN or infinite weights"):
        check_weights(model)


@pytest.mark.parametrize("more", [{}, {"fused": True}, {"foreach": True, "amsgrad": True}, {"maximize": True}])
@pytest.mark.parametrize("where", ["optimizer", "none"])
def test_adamw_by_pieces_is_adamw(monkeypatch, where, more):
    """Three steps of weights larger than a piece, one of them turned; the last step also of a weight in float32."""
    monkeypatch.setattr(adamw, "piece_of", lambda _: 64)
    monkeypatch.setattr(rounding, "piece_of", lambda _: 64)
    draw = torch.Generator().manual_seed(0)
    wide, turned = torch.randn(9, 17, generator=draw).bfloat16(), torch.randn(17, 9, generator=draw).bfloat16().T
    model = torch.nn.ParameterList([wide, torch.randn(3, generator=draw), turned, torch.randn(5).bfloat16()])
    alone = [torch.nn.Parameter(p.detach().float().contiguous()) for p in model]
    given = {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.3, **more}
    mine, torchs = torch.optim.AdamW(model, **given), torch.optim.AdamW(alone, **given)
    taken: list[int] = []
    masters = Masters(where, 3, lambda: len(taken))
    masters.join(model, mine)
    for number in range(3):
        taken.append(number)
        for p, other in zip(model, alone, strict=True):
            p.grad = torch.randn(p.shape, generator=draw).to(p.dtype) if len(p) != 5 else None
            other.grad = None if p.grad is None else p.grad.float()
            if where == "none":
                other.data = p.detach().float().contiguous()
        mine.step()
        torchs.step()
        for p, other in zip(model, alone, strict=True):
            exact = masters.values.get(p, other.detach())
            assert torch.allclose(exact, other, rtol=1e-6) and (p - exact).abs().le(exact.abs() * 2 * STEP).all()
            ours, theirs = (o.state[q] for o, q in ((mine, p), (torchs, other)))
            assert ours.keys() == theirs.keys()
            assert all(torch.allclose(v.float(), theirs[k].float(), rtol=1e-6) for k, v in ours.items())
    assert model[0].dtype == torch.bfloat16 and not mine.state[model[3]] and model[3] not in masters.values
