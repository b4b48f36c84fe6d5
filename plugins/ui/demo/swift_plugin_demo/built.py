"""The demo's own model, built on the spot with random weights: words by full fine-tuning, then backwards by LoRA."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from swift_plugin_demo.lesson import learn, merge, plot_losses, read_rows, report, serve_and_ask, step

QUESTION = "Read 473 backwards."

STEPS = (
    "build a model that knows nothing",
    "teach it to write numbers in words: full fine-tuning, all weights train",
    "teach it to read numbers backwards: LoRA, those weights are frozen and an adapter trains",
    "merge the adapter into the weights",
    "serve the merged model (swift deploy) and ask it with the OpenAI client",
)
LOADING = {"template": "chatml"}
LONGEST = 16
"""Tokens of an answer at most."""

SIZE = {"hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 3, "num_key_value_heads": 4}
SHARED = {
    "per_device_train_batch_size": 16,
    "logging_steps": 10,
    "save_steps": 100_000,
    "warmup_ratio": 0.05,
    "weight_decay": 0.01,
}
FULL = {**SHARED, "tuner": ["full"], "learning_rate": 1e-3, "num_train_epochs": 3}
LORA = {
    **SHARED, "tuner": ["lora"], "lora_rank": 32, "lora_alpha": 32, "learning_rate": 2e-3, "num_train_epochs": 3,
}  # fmt: skip


def run_built(place: Path, port: int) -> None:
    """The demo with the model built on the spot, in the folder `place`."""
    data = copy_rows(place)
    step(1, STEPS)
    base = build_base(place, data)
    step(2, STEPS)
    first, trained, log_full = learn(place, base, data, "words", FULL, LOADING, LONGEST)
    step(3, STEPS)
    second, adapter, log_lora = learn(place, trained, data, "backwards", LORA, LOADING, LONGEST)
    step(4, STEPS)
    merged = merge(place, adapter)
    step(5, STEPS)
    reply = serve_and_ask(merged, port, QUESTION, LOADING, LONGEST)
    print(f"served model: {QUESTION} -> {reply}")
    picture = plot_losses(place, {"full fine-tuning": log_full, "LoRA": log_lora})
    places = {
        "rows": data,
        "full fine-tuning": place / "words",
        "LoRA adapter": place / "backwards",
        "merged model": merged,
        "loss plot": picture,
    }
    report({"words": first, "backwards": second}, places, next_commands(place, merged))


def copy_rows(place: Path) -> Path:
    """The shipped rows, copied out so that they can be looked at; returns their folder."""
    target = place / "data"
    target.mkdir(parents=True)
    for file in resources.files("swift_plugin_demo").joinpath("rows").iterdir():
        (target / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    return target


def build_base(place: Path, data: Path) -> str:
    """A Qwen2 model with random weights and a tokenizer trained on the rows."""
    from swift_plugin_runtime.loading.loader import late_bars
    from swift_testing.tiny import tiny_qwen2

    texts = [text for file in data.glob("*.jsonl") for row in read_rows(file) for text in row.values()]
    with late_bars():
        path = tiny_qwen2(place / "base", [*texts, "system user assistant"], **SIZE)
    size = sum(file.stat().st_size for file in Path(path).glob("*.safetensors")) // 4
    print(f"a Qwen2 model of {size / 1e6:.1f} M parameters with random weights, in {path}", flush=True)
    return path


def next_commands(place: Path, merged: str) -> dict[str, str]:
    """What one would do after the demo → the command for it."""
    rows, out = place / "data" / "words-train.jsonl", place / "mine"
    return {
        "chat with it": f"swift infer --model {merged} --template chatml",
        "serve it": f"swift deploy --model {merged} --template chatml",
        "train an adapter on a file (put yours there)": f"swift sft --model {place / 'base'} --template chatml "
        f"--dataset {rows} --tuner lora --output_dir {out}",
    }
