"""What `swift plan` predicts, against counts by hand, published shapes, and what autograd really keeps."""

from __future__ import annotations

import copy
import json

import pytest
import torch
import transformers
from swift_plugin_runtime.batching.padding_free import keep_rows_apart
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.planning.command import app
from swift_plugin_runtime.planning.layout import Layout, traffic
from swift_plugin_runtime.planning.memory import Batch, cache_bytes, held, shared_out, split_of, training_memory
from swift_plugin_runtime.planning.passes import Alive, passes
from swift_plugin_runtime.planning.plan import PlanOptions, planned, separate
from swift_plugin_runtime.planning.shape import shape_of, untuned
from swift_testing.tiny import tiny_qwen2
from typer.testing import CliRunner

from swift_core import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners

CPU = torch.device("cpu")
SHAPE = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "tie_word_embeddings": False,
}  # fmt: skip
LAYER = {"q": (32, 32), "k": (32, 16), "v": (32, 16), "o": (32, 32), "gate": (32, 64), "up": (32, 64), "down": (64, 32)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("tiny"), **SHAPE)


def job_of(folder, name="sft", **options):
    return prepare(name, [Given(k, v, "test") for k, v in {"model": folder, "device": "cpu", **options}.items()])


def plan(folder, name="sft", **options):
    own, given = separate([Given(k, v, "test") for k, v in {"model": folder, "device": "cpu", **options}.items()])
    return planned(name, given, own)


def whole(vocabulary):
    """Parameters by hand: matrices, biases of q, k and v, two norms a layer, the last norm, embeddings and head."""
    layer = sum(a * b for a, b in LAYER.values()) + 32 + 16 + 16 + 2 * 32
    return 2 * layer + 32 + 2 * vocabulary * 32


def memory(job, config, batch=None, devices=1, free=2**40):
    layout = Layout(devices, split=split_of(job, devices))
    return training_memory(job, config, batch or Batch(1, 16), layout, CPU, free)


def test_whole_weights_by_hand(folder):
    job = job_of(folder, tuner=["full"], torch_dtype="float32")
    config = transformers.AutoConfig.from_pretrained(folder)
    count = whole(config.vocab_size)
    found = memory(job, config)
    assert (found.parameters, found.trained) == (count, count)
    assert {k: found.parts[k] for k in ("weights", "gradients", "optimizer")} == {
        "weights": 4 * count, "gradients": 4 * count, "optimizer": 8 * count,
    }  # fmt: skip
    assert found.checkpoint == 12 * count


def test_sixteen_bits_have_masters_where_the_trainer_puts_them(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    config.dtype = torch.bfloat16
    count = whole(config.vocab_size)
    rules = {
        "model": {"weights": 2, "masters": 2, "gradients": 4, "optimizer": 8},
        "optimizer": {"weights": 2, "masters": 4, "gradients": 2, "optimizer": 8},
        "none": {"weights": 2, "gradients": 2, "optimizer": 8},
    }
    for where, rule in rules.items():
        found = memory(job_of(folder, tuner=["full"], master_weights=where), config).parts
        assert {k: found[k] / count for k in ("weights", "masters", "gradients", "optimizer") if k in found} == rule
    short = memory(job_of(folder, tuner=["full"]), config, free=15 * count)
    assert "masters" not in short.parts and "are not free" in short.said[0]


def test_lora_by_hand(folder):
    job = job_of(folder, tuner=["lora"], lora_rank=4, torch_dtype="bfloat16")
    config = transformers.AutoConfig.from_pretrained(folder)
    adapters = 2 * sum(4 * (a + b) for a, b in LAYER.values())
    found = memory(job, config)
    assert found.trained == adapters
    assert found.parts["weights"] == 2 * whole(config.vocab_size) + 4 * adapters
    assert (found.parts["gradients"], found.parts["optimizer"]) == (4 * adapters, 8 * adapters)
    assert found.checkpoint == 12 * adapters


def test_devices_share_what_their_split_shares():
    parts = {"weights": 800, "masters": 400, "gradients": 200, "optimizer": 101, "reference": 8}
    assert shared_out(parts, Layout(4, split="ddp"), 7) == parts
    assert shared_out(parts, Layout(4, split="zero1"), 7) == {**parts, "masters": 100, "optimizer": 26}
    assert shared_out(parts, Layout(4, split="zero2"), 7) == {**parts, "masters": 100, "optimizer": 26, "gradients": 50}
    fsdp = {"weights": 200, "masters": 100, "gradients": 50, "optimizer": 26, "reference": 8, "gathered weights": 7}
    assert shared_out(parts, Layout(4, split="fsdp"), 7) == shared_out(parts, Layout(4, split="zero3"), 7) == fsdp


@pytest.mark.parametrize(
    ("tuner", "dtype", "fixed", "share"),
    [
        ("full", "float32", 25, 0.0), ("full", "bfloat16", 25, 0.17), ("lora", "float32", 85, 0.2),
        ("lora", "bfloat16", 85, 0.2), ("dora", "float32", 85, 0.45), ("dora", "bfloat16", 85, 0.28),
    ],
)  # fmt: skip
def test_a_process_on_a_cpu_holds_more_than_its_tensors(folder, tmp_path, tuner, dtype, fixed, share):
    """All that it ever held at once, and gaps; said of this machine's CPU, not of a device that is described."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"query": "Two?", "response": "Three."}\n' * 4)
    given = {"dataset": [str(rows)], "tuner": [tuner], "template": "chatml", "torch_dtype": dtype}
    here, there = plan(folder, **given).memory, plan(folder, **given, memory_gib=1).memory
    gaps = here.parts.pop("process")
    assert here.parts == there.parts
    assert gaps == (fixed << 20) + int(share * (here.parts["activations"] + here.parts["logits"]))
    assert here.total == sum(here.parts.values()) + gaps > there.total


def test_a_row_of_two_texts_counts_for_two(folder, tmp_path):
    """A reward model reads both answers of a pair together: what it keeps is that of two rows of plain text."""
    rows = tmp_path / "pairs.jsonl"
    rows.write_text('{"query": "Two?", "response": "Three.", "rejected_response": "Three."}\n' * 4)
    given = {"dataset": [str(rows)], "tuner": ["lora"], "template": "chatml", "torch_dtype": "float32"}
    batches = [{"trainer": name, "per_device_train_batch_size": size} for name, size in (("rm", 1), ("rm", 2))]
    small, large = (plan(folder, "rlhf", **given, **batch).memory.parts["activations"] for batch in batches)
    alone = plan(folder, **given, per_device_train_batch_size=2, padding_free=False).memory.parts["activations"]
    assert small == pytest.approx(alone, rel=0.05) and large == pytest.approx(2 * small, rel=0.01)


def test_gradients_come_as_activations_go():
    parts = {"weights": 10, "gradients": 4, "activations": 5, "logits": 1, "KV cache": 7}
    assert held(parts, accumulates=False) == 10 + 7
    assert held({**parts, "KV cache": 0}, accumulates=False) == 10 + 6
    assert held(parts, accumulates=True) == 10 + 4 + 6
    assert held(parts, accumulates=False, most=9) == 10 + 9
    assert held(parts, accumulates=True, most=9) == 10 + 4 + 9


@pytest.mark.parametrize("flat", [True, False])
@pytest.mark.parametrize(("tuner", "dtype"), [("full", "float32"), ("lora", "float32"), ("lora", "bfloat16")])
def test_passes_hold_what_real_ones_hold(folder, tuner, dtype, flat):
    job = job_of(folder, tuner=[tuner], torch_dtype=dtype)
    config = transformers.AutoConfig.from_pretrained(folder)
    real = attach_tuners(job, untuned(job, copy.deepcopy(config))).train()
    base, mask = base_of(real), None if flat else torch.tensor([[0] * 9 + [1] * 55, [1] * 64])
    if flat:
        keep_rows_apart(base)
    places = {"position_ids": torch.arange(64).repeat(2)[None]} if flat else {"attention_mask": mask}
    with Alive([*real.parameters(), *real.buffers()]) as alive:
        ids = torch.zeros((1, 128) if flat else (2, 64), dtype=torch.long)
        told = base.train().base_model(input_ids=ids, use_cache=False, **places)[0]
        kept = alive.most = alive.now
        told.sum().backward()
    head = base.get_output_embeddings().weight
    found = passes(shape_of(job, config), 2, 64, flat)
    assert found.kept == pytest.approx(kept, rel=0.06)
    assert found.most == pytest.approx(alive.most + head.nbytes * head.requires_grad, rel=0.06)


def test_what_devices_send_by_hand():
    """Llama-3-405B's layout of 8,192 GPUs: tensor 8, pipeline 16, 64 replicas, 8 rows of 8,192 tokens each in turn."""
    text = transformers.LlamaConfig(hidden_size=16384, num_hidden_layers=126)
    layout = Layout(8192, tensor=8, pipeline=16, split="zero1")
    sizes, states = {"weights": 810 * 10**9, "gradients": 810 * 10**9}, 8192 * 16384 * 2
    sent = traffic(layout, sizes, text, 8192, 2, 8)
    assert layout.replicas == 64
    assert sent.replicas == int(2 * 63 / 64 * 810e9 / 128)
    assert sent.tensor == int(8 * 4 * 126 / 16 * 2 * 7 / 8 * states)
    assert sent.pipeline == 8 * 2 * states // 8
    whole = traffic(Layout(8, split="fsdp"), sizes, text, 8192, 2, 1)
    assert (whole.replicas, whole.tensor, whole.pipeline) == (int(7 / 8 * 3 * 810e9), 0, 0)


def test_a_pipeline_waits_while_it_fills_and_drains():
    assert Layout(4, pipeline=4).bubble(1) == pytest.approx(3 / 4)  # one of four works at a time
    assert Layout(64, pipeline=64).bubble(512) == pytest.approx(63 / (512 + 63))
    assert Layout(64, pipeline=64, interleave=2).bubble(512) == pytest.approx(63 / (2 * 512 + 63))
    assert Layout().bubble(3) == 0
    with pytest.raises(SwiftError, match="cannot be shared"):
        Layout(12, tensor=8)


def test_a_layout_on_paper(folder):
    alone = plan(folder, tuner=["full"], torch_dtype="bfloat16", max_length=64, gradient_accumulation_steps=4)
    given = {"devices": 8, "tensor": 2, "pipeline": 2, "interconnect": 50}
    found = plan(folder, tuner=["full"], torch_dtype="bfloat16", max_length=64, gradient_accumulation_steps=4, **given)
    for name in ("weights", "optimizer", "gradients"):
        assert found.memory.parts[name] == -(-alone.memory.parts[name] // 4)
    assert found.memory.parts["activations"] == -(-alone.memory.parts["activations"] // 2)
    assert (found.sending, found.bubble) == pytest.approx((found.sent.total / 50e9, 1 / 5))
    assert any("on paper" in line for line in found.said)


PUBLISHED = {
    "Llama-2-7b": (transformers.LlamaConfig, {"hidden_size": 4096, "intermediate_size": 11008}, 6_738_415_616),
    "Llama-2-70b": (
        transformers.LlamaConfig,
        {"hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80, "num_attention_heads": 64,
         "num_key_value_heads": 8},
        68_976_648_192,
    ),
    "Mixtral-8x7B": (
        transformers.MixtralConfig,
        {"hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8},
        46_702_792_704,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_shapes_have_their_published_size(folder, name):
    config, sizes, expected = PUBLISHED[name]
    job = job_of(folder, torch_dtype="bfloat16")
    with torch.device("meta"):
        model = untuned(
            job, config(**{"vocab_size": 32000, "num_hidden_layers": 32, "num_attention_heads": 32} | sizes)
        )
    assert sum(p.numel() for p in model.parameters()) == expected


def test_keys_and_values_by_hand(folder):
    config = transformers.AutoConfig.from_pretrained(folder)
    assert cache_bytes(config, 100, 2) == 2 * 2 * 2 * 8 * 100 * 2
    found = plan(folder, "infer", max_batch_size=3, max_length=40, torch_dtype="bfloat16")
    assert found.memory.parts == {"weights": 2 * whole(config.vocab_size), "KV cache": 2 * 2 * 2 * 8 * 3 * 40 * 2}


def test_steps_tokens_time_and_disk(folder, tmp_path):
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]}
    (tmp_path / "rows.jsonl").write_text((json.dumps(row) + "\n") * 10)
    given = {"dataset": [str(tmp_path / "rows.jsonl")], "template": "chatml", "batch_size": 2, "max_length": 4096}
    found = plan(folder, **given, gradient_accumulation_steps=2, devices=2, save_steps=2, tokens_per_second=10)
    assert (found.work.rows, found.work.steps) == (10, 6)  # 3 passes of 3 batches, of which two make a step
    assert found.work.tokens == 3 * 10 * found.work.longest
    assert found.seconds == found.work.tokens / 20
    assert (found.checkpoints, found.disk) == (3, 3 * found.memory.checkpoint)
    seven = plan(folder, **given, max_steps=7, save_total_limit=1)
    assert (seven.checkpoints, seven.work.tokens) == (1, 7 * 2 * seven.work.longest)


def test_what_does_not_fit_is_told_with_what_does(folder):
    given = {"tuner": ["full"], "torch_dtype": "float32", "max_length": 2048, "batch_size": 4}
    most = plan(folder, **given).memory.total / 2**30
    found = plan(folder, **given, memory_gib=most * 0.6)
    assert found.memory.total > found.free and found.tries
    assert all(size <= found.free for _, size in found.tries)
    assert not plan(folder, **given, memory_gib=most * 1.01).tries


def test_the_command_prints_parts_and_json(folder):
    words = ["sft", "--model", str(folder), "--device", "cpu", "--max_length", "64"]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0 and "weights" in said.output and "at most" in said.output
    found = json.loads(CliRunner().invoke(app, [*words, "--json"]).output)
    assert found["memory"]["parts"]["weights"] > 0 and found["fits"] is True


def test_what_cannot_be_planned_is_refused(folder, tmp_path):
    with pytest.raises(SwiftError, match="begins with their numbers"):
        plan(folder, tuner=["pissa"], max_length=32)
    with pytest.raises(SwiftError, match="does neither"):
        plan(folder, "export")
    assert PlanOptions().devices == 1
