"""Write `docs/hardware.md`: which model fits which GPU for which job, as `swift plan` counts it. `make hardware`.

The models stand here by their shapes, so that nothing is fetched: the sizes of layers are facts of their config.json.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from swift_plugin_runtime.planning.plan import PlanOptions, planned

from swift_core.job.options import Given

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "hardware.md"
GIB = 2**30
GPUS = (8, 12, 16, 24, 40, 48, 80, 141)
"""Memory of usual GPUs, in GiB."""

ROOM = 0.9
"""Share of a GPU that a plan may fill: what a plan does not know needs the rest."""

FIELDS = ("hidden_size", "num_hidden_layers", "intermediate_size", "num_attention_heads", "num_key_value_heads")

SHAPES: dict[str, dict[str, Any]] = {
    "Qwen3-0.6B": {**dict(zip(FIELDS, (1024, 28, 3072, 16, 8), strict=True)), "model_type": "qwen3", "head_dim": 128}
    | {"vocab_size": 151936, "tie_word_embeddings": True},
    "Qwen3-4B": {**dict(zip(FIELDS, (2560, 36, 9728, 32, 8), strict=True)), "model_type": "qwen3", "head_dim": 128}
    | {"vocab_size": 151936, "tie_word_embeddings": True},
    "Llama-3.1-8B": {**dict(zip(FIELDS, (4096, 32, 14336, 32, 8), strict=True)), "model_type": "llama"}
    | {"vocab_size": 128256, "tie_word_embeddings": False},
    "Qwen2.5-32B": {**dict(zip(FIELDS, (5120, 64, 27648, 40, 8), strict=True)), "model_type": "qwen2"}
    | {"vocab_size": 152064, "tie_word_embeddings": False},
}
"""Model → what its config.json says."""

CLASSES = {"qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}

JOBS: dict[str, tuple[str, dict[str, Any]]] = {
    "QLoRA": ("sft", {"tuner": "lora", "quantizer": "bnb", "quant_bits": 4}),
    "LoRA": ("sft", {"tuner": "lora"}),
    "all weights": ("sft", {"tuner": "full"}),
    "DPO, LoRA": ("rlhf", {"rlhf_type": "dpo", "tuner": "lora"}),
    "answer": ("infer", {"max_batch_size": 8}),
}
"""Column → the job and its options."""

LENGTH = 2048

INTRO = """<!-- Written by tools/hardware.py with `swift plan`: run `make hardware`. -->

# Which GPU for which job?

Memory of one device in GiB, as [`swift plan`](plan.md) counts it, and the smallest usual GPU that has a tenth
more: rows of {length:,} tokens, one at a time, weights in bfloat16, `--gradient_checkpointing true` in training;
answers to eight questions together. The models are counted from the shapes of their layers.

"""

OUTRO = """
- Ask about your own job: `swift plan sft --model MODEL --dataset rows.jsonl --device cuda --memory_gib 24`.
- What a plan does not know (CUDA's context, an allocator's gaps, kernels' own memory) is on top: that is the room left.
- Several GPUs share optimizer, gradients and weights: `--devices 8 --deepspeed zero2`, or `--fsdp true`
  ([several GPUs](how-to/several-gpus.md)).
- The figures come from counting, not from runs on these GPUs; how near plans come on a CPU is in
  [benchmarks](benchmarks.md#plans-against-what-is-held).
- To measure on a GPU of your own, also without a network: `make gpu-bundle`
  ([benchmarks](benchmarks.md#one-gpu-in-eight-minutes)).
"""


def need(model: str, column: str) -> float:
    """GiB that a job takes at most."""
    job, options = JOBS[column]
    said = {"torch_dtype": "bfloat16", "device": "cuda", "max_length": LENGTH, "template": "chatml", **options}
    if job != "infer":
        said |= {"gradient_checkpointing": True, "bf16": True}
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, model)
        place.mkdir()
        shape = SHAPES[model]
        facts = {**shape, "architectures": [CLASSES[shape["model_type"]]], "max_position_embeddings": 32768}
        (place / "config.json").write_text(json.dumps(facts), encoding="utf-8")
        given = [Given(key, value, "tools/hardware.py") for key, value in {"model": str(place), **said}.items()]
        return planned(job, given, PlanOptions(memory_gib=10_000)).memory.total / GIB


def cell(size: float) -> str:
    """`6.1 (8)`: GiB, and the smallest GPU that holds it; `several` where none does."""
    fits = next((f"{gpu}" for gpu in GPUS if size < gpu * ROOM), "several")
    return f"{size:.1f} ({fits})"


def lines() -> Iterator[str]:
    """The table, a line for each model."""
    yield f"| model | {' | '.join(JOBS)} |"
    yield f"|---|{'---|' * len(JOBS)}"
    for model in SHAPES:
        cells = []
        for column in JOBS:
            cells.append(cell(need(model, column)))
            print(model, column, cells[-1], file=sys.stderr, flush=True)
        yield f"| {model} | {' | '.join(cells)} |"


if __name__ == "__main__":
    table = "\n".join(lines())
    PAGE.write_text(INTRO.format(length=LENGTH) + table + "\n" + OUTRO, encoding="utf-8")
