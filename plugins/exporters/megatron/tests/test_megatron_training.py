"""Training by Megatron-Core: what is refused; and, by `make test-megatron`, on a CPU by a shim, our own steps."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from swift_plugin_megatron import training
from swift_testing.contracts import bare_model

from swift_core import SwiftError
from swift_core.api import run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

sys.path.insert(0, str(Path(__file__).parent))

import megatron_families

HERE = Path(__file__).parent
engine = pytest.mark.skipif("SWIFT_TEST_MEGATRON" not in os.environ, reason="an environment: make test-megatron")

WORDS = "one two three four five six seven eight".split()
ROWS = [
    {"query": f"Count to {n}.", "response": " ".join(WORDS[:n]), "rejected_response": " ".join(WORDS[8 - n :]) + "."}
    for n in (1, 8, 2, 7, 3, 6, 4, 5)
]

STEPS = {
    "tuner": "full", "device": "cpu", "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_ratio": 0.4,
    "max_steps": 3, "logging_steps": 1, "save_steps": 3, "template": "chatml",
}  # fmt: skip

EXPERTS_AND_TOKENS = ("expert_parallel_size", "context_parallel_size")
EXPERTS_AND_PRODUCTS = ("expert_parallel_size", "tensor_parallel_size")

CASES = {
    "one process": ("qwen2", 1, {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2}),
    "tensor": ("qwen3", 2, {"tensor_parallel_size": 2, "per_device_train_batch_size": 8}),
    "pipeline": ("llama", 2, {"pipeline_parallel_size": 2, "gradient_accumulation_steps": 8}),
    "tied pipeline": ("qwen2", 2, {"pipeline_parallel_size": 2, "gradient_accumulation_steps": 8}),
    "rows": ("mistral", 2, {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}),
    "experts": ("qwen3_moe", 2, {"expert_parallel_size": 2, "per_device_train_batch_size": 4}),
    "dpo": (
        "qwen2",
        2,
        {"tensor_parallel_size": 2, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 3},
    ),
    "dpo, pipeline": ("llama", 2, {"pipeline_parallel_size": 2, "gradient_accumulation_steps": 8}),
    "pt": ("qwen2", 2, {"tensor_parallel_size": 2, "per_device_train_batch_size": 8}),
    "pt, pipeline": ("llama", 2, {"pipeline_parallel_size": 2, "gradient_accumulation_steps": 8}),
    "context": ("qwen3", 2, {"context_parallel_size": 2, "per_device_train_batch_size": 8}),
    "dpo, context": (
        "mistral",
        2,
        {"context_parallel_size": 2, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 3},
    ),
    "context, experts": ("mixtral", 2, {**dict.fromkeys(EXPERTS_AND_TOKENS, 2), "per_device_train_batch_size": 8}),
    "tensor, experts": ("qwen3_moe", 2, {**dict.fromkeys(EXPERTS_AND_PRODUCTS, 2), "per_device_train_batch_size": 8}),
    "tensor of experts": ("mixtral", 2, {"tensor_parallel_size": 2, "per_device_train_batch_size": 8}),
    "tensor, context, pipeline": (
        "llama",
        8,
        {
            **dict.fromkeys(("tensor_parallel_size", "context_parallel_size", "pipeline_parallel_size"), 2),
            "gradient_accumulation_steps": 8,
        },
    ),
}
"""Name → (family, processes, how a step of all eight rows is shared). The method is the name's first word, or sft."""

TEXTS = [{"text": f"Count to {n}: {' '.join(WORDS[:n])}."} for n in (1, 8, 2, 7, 3, 6, 4, 5)]


def check(trainer="megatron_sft", command="sft", **options):
    given = {"model": bare_model(), "trainer": trainer, "tuner": "full", **options}
    job = prepare(command, [Given(k, v, "test") for k, v in given.items()])
    job.hook.check_job(job=job)


@pytest.mark.parametrize("trainer", ["megatron_sft", "megatron_pt", "megatron_dpo"])
def test_without_a_gpu_it_is_refused_before_anything_is_loaded(trainer):
    with pytest.raises(SwiftError, match="trains on NVIDIA GPUs alone, and there is none here"):
        check(trainer)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tuner": "lora"}, "trains whole weights here: say --tuner full"),
        ({"context_parallel_size": 4}, "2 processes .* do not make whole groups of 4 that share a row"),
        ({"megatron_processes": 3, "tensor_parallel_size": 2}, "3 processes .* do not make whole groups of 2"),
        ({"optimizer": "muon"}, "does not support optimizer: Megatron-Core makes the training step itself"),
        ({"launcher": "torchrun"}, "starts the processes of this machine itself"),
        ({"fsdp": True}, "does not support parallel: Megatron-Core makes the training step itself"),
    ],
)
def test_what_it_cannot_do_is_refused(monkeypatch, options, words):
    monkeypatch.setattr(training, "has_cuda", lambda: True)
    with pytest.raises(SwiftError, match=words):
        check(**{"megatron_processes": 2, **options})


@pytest.mark.parametrize(
    ("family", "sizes", "words"),
    [
        ("qwen2", {"tensor": 4}, "4 does not divide the model's 2 key heads"),
        ("qwen2", {"pipeline": 4}, "4 does not divide the model's 2 layers"),
        ("qwen2", {"expert": 2}, "2 does not divide the model's 1 experts"),
    ],
)
def test_sizes_that_do_not_fit_the_model_are_refused(family, sizes, words):
    from transformers import AutoConfig

    config = AutoConfig.for_model(family, **{**megatron_families.SHAPE, **megatron_families.OWN[family]})
    with pytest.raises(SwiftError, match=words):
        training.check_shape(config, {"tensor": 1, "pipeline": 1, "expert": 1, **sizes})


def test_columns_of_an_expert_are_shared_as_its_products_are():
    from transformers import AutoConfig

    own = megatron_families.OWN["mixtral"] | {"intermediate_size": 95}
    config = AutoConfig.for_model("mixtral", **{**megatron_families.SHAPE, **own})
    with pytest.raises(SwiftError, match="2 does not divide the model's 95 columns of an expert"):
        training.check_shape(config, {"tensor": 2, "pipeline": 1, "expert": 1})
    training.check_shape(config, {"tensor": 2, "pipeline": 1, "expert": 2})


# -- the engine ---------------------------------------------------------------------------------------------
@pytest.fixture
def shimmed(monkeypatch):
    """Megatron-Core's processes with the shim in them."""
    own = {**training.variables(), "PYTHONPATH": f"{HERE / 'shimmed'}:{HERE}"}
    monkeypatch.setattr(training, "has_cuda", lambda: True)
    monkeypatch.setattr(training, "variables", lambda: own)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("training")
    for name, rows in (("rows", ROWS), ("texts", TEXTS)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def trained(place, family, name, **options):
    """(losses of the steps, then norms of their gradients; the checkpoint's folder)."""
    model, rows = place / family, "texts" if options["trainer"].endswith("pt") else "rows"
    if not model.is_dir():
        megatron_families.write(model, family)
    told = {**STEPS, "model": str(model), "dataset": str(place / f"{rows}.jsonl"), "output_dir": str(place / name)}
    done = run("train", **{**told, **options})
    log = done["trainer"].state.log_history
    told = [[line[name] for line in log if name in line] for name in ("loss", "grad_norm")]
    return [*told[0], *told[1]], done["checkpoint"]


def weights(folder):
    return {k: v for file in Path(folder).glob("*.safetensors") for k, v in load_file(file).items()}


def moved(folder):
    """The weights of a checkpoint of Megatron-Core, as transformers has them."""
    out = f"{folder}-hf"
    return weights(run("export", ckpt_dir=folder, to_hf=True, output_dir=out, device="cpu")["folders"]["hf"])


def check_same(found, alone):
    """The steps moved each weight by some 1e-3. AdamW divides by the gradient, so that where it is next to nothing the
    order of adding up is seen."""
    assert found.keys() == alone.keys()
    for key, value in alone.items():
        far = (found[key] - value).abs()
        assert float(far.max()) < 1e-4 and float(far.mean()) < 2e-6, key


@engine
@pytest.mark.parametrize("case", CASES)
def test_it_learns_what_our_own_sft_learns(shimmed, place, case):
    family, processes, shared = CASES[case]
    name = case.replace(", ", "-").replace(" ", "-")
    rows = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "torch_dtype": "float32"}
    method = next((m for m in ("dpo", "pt") if case.split(",")[0] == m), "sft")
    losses, alone = trained(place, family, f"{name}-own", trainer=method, **rows)
    told, folder = trained(place, family, name, trainer=f"megatron_{method}", megatron_processes=processes, **shared)
    print(case, losses, told)
    assert told == pytest.approx(losses, rel=2e-5)
    assert losses[2] < losses[0] - 1e-2, "Nothing was learnt."
    check_same(moved(folder), weights(alone))


@engine
def test_it_goes_on_from_a_checkpoint_under_other_sizes(shimmed, place):
    """Three steps at a stretch, and two with two processes that share products, then one with one alone."""
    shared = {"trainer": "megatron_sft", "per_device_train_batch_size": 8, "save_steps": 1}
    losses, through = trained(place, "qwen3", "through", megatron_processes=1, **shared)
    two = {"tensor_parallel_size": 2, "megatron_processes": 2, "save_steps": 2}
    trained(place, "qwen3", "parts", **{**shared, **two})
    for folder in (place / "parts").glob("checkpoint-3"):
        folder.rename(place / "unused")
    again, folder = trained(
        place, "qwen3", "parts", **{**shared, "megatron_processes": 1, "resume_from_checkpoint": "last"}
    )
    assert again == pytest.approx([losses[2], losses[5]], rel=2e-5)
    check_same(moved(folder), moved(through))


@engine
def test_bfloat16_learns_beside_float32_masters_as_ours_does(shimmed, place):
    """Two processes that share products. A weight in bfloat16 has 8 bits, which a step of 0.001 moves by two or three:
    figures of a first step agree to 0.001, and later ones as far as both round alike (ours by chance)."""
    megatron_families.write(place / "narrow", "qwen3", dtype="bfloat16")
    losses, alone = trained(place, "narrow", "narrow-own", trainer="sft", per_device_train_batch_size=8)
    shared = {"tensor_parallel_size": 2, "megatron_processes": 2, "per_device_train_batch_size": 8}
    told, folder = trained(place, "narrow", "narrow-shared", trainer="megatron_sft", **shared)
    print(losses, told)
    assert told[0] == pytest.approx(losses[0], rel=1e-3)
    assert told == pytest.approx(losses, rel=2e-2)
    assert told[2] < told[0] - 0.3, "Less was learnt than in float32."
    start, own, found = weights(place / "narrow"), weights(alone), moved(folder)
    assert {str(value.dtype) for value in found.values()} == {"torch.bfloat16"}
    moves, apart = (
        sum(float((a[key].float() - b[key].float()).abs().sum()) for key in start)
        for a, b in ((own, start), (own, found))
    )
    print(moves, apart)
    assert apart < moves / 2
