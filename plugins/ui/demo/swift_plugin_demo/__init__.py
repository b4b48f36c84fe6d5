"""`swift demo`: the whole pipeline on a model of a few million parameters, with nothing to download.

A Qwen2-type model starts from random weights. Full fine-tuning teaches it to write numbers in words; then
LoRA, on top and with those weights frozen, teaches it to read them backwards. The adapter is merged, the merged model
served, and asked one question through the OpenAI client. Answers are measured on numbers it never saw.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import typer

from swift_core import SwiftError

app = typer.Typer(invoke_without_command=True)

QUESTION = "Read 473 backwards."

SIZE = {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 4, "num_key_value_heads": 4}
SHARED = {
    "template": "chatml",
    "per_device_train_batch_size": 16,
    "logging_steps": 10,
    "save_steps": 100_000,
    "warmup_ratio": 0.05,
    "weight_decay": 0.01,
}
FULL = {"tuner": ["full"], "learning_rate": 1e-3, "num_train_epochs": 4}
LORA = {"tuner": ["lora"], "lora_rank": 32, "lora_alpha": 32, "learning_rate": 2e-3, "num_train_epochs": 4}


@app.callback()
def demo(
    folder: str = typer.Option("swift-demo", help="Where everything is written; made anew."),
    port: int = typer.Option(0, help="Port of the server; 0: any free one."),
) -> None:
    """Train, merge, serve and ask a small model built on the spot, in a few minutes."""
    place = Path(folder)
    _clear(place)
    data = copy_rows(place)
    step(1, "build a model that knows nothing")
    base = build_base(place, data)
    step(2, "teach it to write numbers in words: full fine-tuning, all weights train")
    first, trained, log_full = learn(place, base, data, "words", FULL)
    step(3, "teach it to read numbers backwards: LoRA, those weights are frozen and an adapter trains")
    second, adapter, log_lora = learn(place, trained, data, "backwards", LORA)
    step(4, "merge the adapter into the weights")
    merged = merge(place, adapter)
    step(5, "serve the merged model (swift deploy) and ask it with the OpenAI client")
    reply = serve_and_ask(merged, port, QUESTION)
    print(f"served model: {QUESTION} -> {reply}")
    picture = plot_losses(place, {"full fine-tuning": log_full, "LoRA": log_lora})
    report(place, {"words": first, "backwards": second}, merged, picture)


def step(number: int, what: str) -> None:
    """Say which of the five steps begins; what the jobs themselves say goes to standard error and follows it."""
    print(f"\n[{number}/5] {what}", flush=True)


def _clear(place: Path) -> None:
    if place.exists() and not (place / "data").is_dir():
        raise SwiftError(f"{place} exists and was not made by the demo; choose another --folder.")
    shutil.rmtree(place, ignore_errors=True)


def copy_rows(place: Path) -> Path:
    """The shipped rows, copied out so that they can be looked at; returns their folder."""
    target = place / "data"
    target.mkdir(parents=True)
    for file in resources.files(__name__).joinpath("rows").iterdir():
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


def learn(place: Path, model: str, data: Path, task: str, how: dict[str, Any]) -> tuple[dict[str, float], str, Path]:
    """Train one task; returns exact-match before and after on held-out rows, the checkpoint and the log."""
    from swift_core import run

    held = read_rows(data / f"{task}-test.jsonl")
    train = data / f"{task}-train.jsonl"
    example = read_rows(train)[0]
    print(f"{len(read_rows(train))} rows like: {example['query']} -> {example['response']}  ({train})", flush=True)
    before = ask(model, None, held)
    output = place / task
    done = run("sft", model=model, dataset=[str(train)], output_dir=str(output), **SHARED, **how)
    checkpoint = done["checkpoint"]
    whole = how["tuner"] == ["full"]
    after = ask(checkpoint if whole else model, None if whole else checkpoint, held)
    show_answers(held, before, after)
    show_losses(output / "logging.jsonl")
    scores = {"before": exact_match(held, before), "after": exact_match(held, after)}
    print(f"right answers before: {scores['before']:.0%}, after: {scores['after']:.0%}", flush=True)
    return scores, checkpoint, output / "logging.jsonl"


def ask(model: str, adapter: str | None, rows: list[dict[str, str]]) -> list[str]:
    """Greedy answers to the rows' questions, through the transformers backend."""
    from swift_core.contract.engine import Request
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    options = {"model": model, "template": "chatml", "adapters": [adapter] if adapter else []}
    job = prepare("infer", [Given(k, v, "demo") for k, v in options.items()])
    print(f"asking {Path(adapter or model)} {len(rows)} questions that no training row holds …", flush=True)
    with contextlib.redirect_stderr(io.StringIO()):  # the training beside it says the same of this model
        engine = job.hook.start_engine(job=job)
    name = engine.models[-1] if adapter else None
    questions = [[{"role": "user", "content": row["query"]}] for row in rows]
    replies = engine.generate([Request.of(m, max_new_tokens=16, adapter=name) for m in questions])
    engine.close()
    return [reply.text for reply in replies]


def exact_match(rows: list[dict[str, str]], answers: list[str]) -> float:
    """Share of answers that are the row's response to the letter."""
    return sum(a == row["response"] for row, a in zip(rows, answers, strict=True)) / len(rows)


def show_answers(rows: list[dict[str, str]], before: list[str], after: list[str]) -> None:
    """Three held-out questions with the right answers, and those before and after."""
    shown = [("held-out question", "right answer", "before", "after")]
    for row, old, new in list(zip(rows, before, after, strict=True))[:3]:
        shown.append((row["query"], row["response"], _readable(old), _readable(new)))
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for cells in shown:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def _readable(text: str) -> str:
    """On one line and short, as the answers of an untrained model are neither."""
    line = " ".join(text.split())
    return f"{line[:30]} …" if len(line) > 32 else line or "(nothing)"


def show_losses(log: Path) -> None:
    """The first and the last loss that the log of a run holds."""
    from swift_plugin_runtime.training.plots import read_series

    losses = read_series(log)["loss"]
    (first, high), (last, low) = losses[0], losses[-1]
    print(f"loss: {high:.3g} at step {first:.0f}, {low:.3g} at step {last:.0f} (nats per token)")


def merge(place: Path, adapter: str) -> str:
    """The adapter folded into its base model; returns the folder of plain weights."""
    from swift_core import run

    target = place / "merged"
    run("merge-lora", ckpt_dir=adapter, output_dir=str(target))
    return str(target)


def serve_and_ask(model: str, port: int, question: str) -> str:
    """Serve the merged model with `swift deploy` in a process of its own and ask it through the OpenAI client."""
    from swift_plugin_demo.server import served

    with served(model, port) as url:
        import openai

        client = openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY")
        name = client.models.list().data[0].id
        reply = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": question}], max_tokens=16, temperature=0
        )
    return reply.choices[0].message.content or ""


def plot_losses(place: Path, logs: dict[str, Path]) -> Path:
    """The loss of both runs over their steps, as one PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from swift_plugin_runtime.training.plots import read_series

    figure, axis = pyplot.subplots(figsize=(7, 4))
    for name, log in logs.items():
        points = read_series(log)["loss"]
        axis.plot([p[0] for p in points], [p[1] for p in points], label=name)
    axis.set(xlabel="optimizer step", ylabel="loss (nats per token)", yscale="log", title="swift demo")
    axis.legend()
    axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(place / "loss.png", dpi=120)
    pyplot.close(figure)
    return place / "loss.png"


def report(place: Path, scores: dict[str, dict[str, float]], merged: str, picture: Path) -> None:
    """Right answers per task, where everything is, and three commands to go on with."""
    print("\nright answers to held-out questions, to the letter")
    for task, score in scores.items():
        print(f"  {task}: {score['before']:.0%} before, {score['after']:.0%} after training")
    places = {
        "rows": place / "data",
        "full fine-tuning": place / "words",
        "LoRA adapter": place / "backwards",
        "merged model": merged,
        "loss plot": picture,
    }
    print("\nwhere everything is")
    for name, where in places.items():
        print(f"  {name}: {where}")
    print("\nwhat to do next")
    for what, command in next_commands(place, merged).items():
        print(f"  {what}:\n    {command}")


def next_commands(place: Path, merged: str) -> dict[str, str]:
    """What one would do after the demo → the command for it."""
    rows, out = place / "data" / "words-train.jsonl", place / "mine"
    return {
        "chat with it": f"swift infer --model {merged} --template chatml",
        "serve it": f"swift deploy --model {merged} --template chatml",
        "train an adapter on a file (put yours there)": f"swift sft --model {place / 'base'} --template chatml "
        f"--dataset {rows} --tuner lora --output_dir {out}",
    }


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of one shipped file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
