"""bnb: 4 and 8 bits keep the quantizer contract; QLoRA runs from the command line's options to a merged model."""

from __future__ import annotations

import json

import pytest
from swift_testing import QuantizerContract
from swift_testing.quantizers import compare_gradients, logits
from swift_testing.tiny import tiny_llama, tiny_qwen2

from swift_core.api import run
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_adapters, load_model


class TestNf4(QuantizerContract):
    name = "bnb"
    options = {"quant_bits": 4}


class TestNf4Checkpoint(TestNf4):
    """What `swift export --quantizer bnb` writes keeps the contract as well."""

    at_load = False


class TestInt8(QuantizerContract):
    name = "bnb"
    options = {"quant_bits": 8}
    least_logit_cosine = 0.99
    least_gradient_cosine = 0.95
    gradient_norms = (0.95, 1.05)


def given(name, **options):
    return prepare(name, [Given(k, v, "test") for k, v in options.items()])


@pytest.fixture(scope="module")
def qlora(tmp_path_factory):
    """(checkpoint of a QLoRA run, base, loss of its first and last step)"""
    folder = tmp_path_factory.mktemp("qlora")
    base = tiny_qwen2(folder / "base", hidden_size=128)
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"{n}+1?", "response": str(n + 1)}) + "\n" for n in range(8)))
    done = run(
        "sft",
        model=base,
        dataset=[str(rows)],
        quant_method="bnb",
        quant_bits=4,
        bnb_4bit_quant_type="fp4",
        tuner=["lora"],
        torch_dtype="float32",
        device="cpu",
        max_steps=25,
        per_device_train_batch_size=8,
        learning_rate=0.01,
        logging_steps=1,
        output_dir=str(folder / "run"),
    )
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    return done["checkpoint"], base, losses


def test_qlora_learns_and_its_merge_answers_as_it_did(qlora):
    from transformers import AutoModelForCausalLM

    checkpoint, _, losses = qlora
    assert losses[-1] < losses[0] - 1  # nats; the frozen random head allows no more than about 1.7

    merging = given("merge-lora", ckpt_dir=checkpoint, device="cpu")
    quantizer = merging.one("quantizer")
    assert (quantizer.quant_bits, quantizer.bnb_4bit_quant_type) == (4, "fp4")  # as the run's lock says
    folder = merging.run()["folders"]["merge-lora"]

    adapted = load_adapters(merging, load_model(merging)[0])
    merged = AutoModelForCausalLM.from_pretrained(folder)
    assert not getattr(merged.config, "quantization_config", None)
    assert (logits(merged) - logits(adapted)).abs().max() < 1e-3
    again = given("infer", ckpt_dir=folder)
    assert again.options.model == folder and not again.many("quantizer")


def test_adapters_are_merged_before_they_are_quantized(qlora, tmp_path):
    checkpoint, base, _ = qlora
    options = {"adapters": [checkpoint], "model": base, "quantizer": "bnb", "output_dir": str(tmp_path / "out")}
    refused = given("export", **options)
    with pytest.raises(SwiftError, match="merge them first"):
        refused.run()
    assert not (tmp_path / "out").exists()


def test_full_tuning_of_quantized_weights_is_refused_before_loading(qlora):
    with pytest.raises(SwiftError, match="quantized weights have no gradient"):
        given("sft", model=qlora[1], quant_method="bnb", tuner=["full"])


def test_five_bits_are_refused(qlora):
    with pytest.raises(SwiftError, match="quant_bits"):
        given("sft", model=qlora[1], quant_method="bnb", quant_bits=5)


def _has_avx512bf16():
    from bitsandbytes.functional import has_avx512bf16

    return has_avx512bf16()


@pytest.mark.skipif(not _has_avx512bf16(), reason="only CPUs with AVX512-BF16 repack the weights")
def test_without_the_guard_the_contract_fails(tmp_path, monkeypatch):
    from swift_plugin_runtime import transformers_loader

    monkeypatch.setattr(transformers_loader, "keep_trainable_layout", lambda model: None)
    contract = TestNf4()
    pair = contract.make_pair(tiny_llama(tmp_path, hidden_size=128, num_hidden_layers=4))
    before = compare_gradients(pair.plain, pair.quantized)
    logits(pair.quantized)
    after = compare_gradients(pair.plain, pair.quantized)
    assert min(near for near, _ in before.values()) > contract.least_gradient_cosine
    assert min(near for near, _ in after.values()) < contract.least_gradient_cosine


def test_a_quantized_checkpoint_is_known_and_guarded_without_being_told(tmp_path):
    """--quantizer is found in config.json: whole weights are refused, and gradients stay right after an evaluation."""
    contract = TestNf4Checkpoint()
    plain = tiny_llama(tmp_path, hidden_size=128, num_hidden_layers=4)
    folder = contract.quantize_offline(plain)
    with pytest.raises(SwiftError, match="quantized weights have no gradient"):
        given("sft", model=folder, tuner=["full"])
    job = given("sft", model=folder, tuner=["lora"], device="cpu", torch_dtype="float32")
    assert job.many("quantizer")[0].entry.name == "bnb"
    model = load_model(job)[0]
    layers = [m for m in model.modules() if hasattr(m, "support_avx512bf16_for_cpu")]
    assert layers and not any(m.support_avx512bf16_for_cpu for m in layers)
    bare = given("sft", model=folder, tuner=["lora"], device="cpu", torch_dtype="float32", quantizer="none")
    assert not bare.many("quantizer")
    model = load_model(bare)[0]
    layers = [m for m in model.modules() if hasattr(m, "support_avx512bf16_for_cpu")]
    assert layers and not any(m.support_avx512bf16_for_cpu for m in layers)
