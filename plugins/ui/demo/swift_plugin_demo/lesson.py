"""What both demos do: train a task, answer held-out rows before and after, merge, serve, say where everything is."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any


def step(number: int, steps: tuple[str, ...]) -> None:
    """Say which of the steps begins; what the jobs themselves say goes to standard error and follows it."""
    print(f"\n[{number}/{len(steps)}] {steps[number - 1]}", flush=True)


def learn(
    place: Path, model: str, data: Path, task: str, how: dict[str, Any], loading: dict[str, str], longest: int
) -> tuple[dict[str, float], str, Path]:
    """Train one task; returns exact-match before and after on held-out rows, the checkpoint and the log.

    how: options of the training. loading: options of whatever loads the model. longest: tokens of an answer at most.
    """
    from swift_core import run

    held = read_rows(data / f"{task}-test.jsonl")
    train = data / f"{task}-train.jsonl"
    example = read_rows(train)[0]
    print(f"{len(read_rows(train))} rows like: {example['query']} -> {example['response']}  ({train})", flush=True)
    before = ask(model, None, held, loading, longest)
    output = place / task
    done = run("sft", model=model, dataset=[str(train)], output_dir=str(output), **loading, **how)
    checkpoint = done["checkpoint"]
    whole = how["tuner"] == ["full"]
    after = ask(checkpoint if whole else model, None if whole else checkpoint, held, loading, longest)
    show_answers(held, before, after, 2 * longest)
    show_losses(output / "logging.jsonl")
    scores = {"before": exact_match(held, before), "after": exact_match(held, after)}
    print(f"right answers before: {scores['before']:.0%}, after: {scores['after']:.0%}", flush=True)
    return scores, checkpoint, output / "logging.jsonl"


def ask(
    model: str, adapter: str | None, rows: list[dict[str, str]], loading: dict[str, str], longest: int
) -> list[str]:
    """Greedy answers to the rows' questions, through the transformers backend."""
    from swift_core.contract.engine import Request
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    options = {"model": model, "adapters": [adapter] if adapter else [], **loading}
    job = prepare("infer", [Given(k, v, "demo") for k, v in options.items()])
    print(f"asking {Path(adapter or model)} {len(rows)} questions that no training row holds …", flush=True)
    with contextlib.redirect_stderr(io.StringIO()):  # the training beside it says the same of this model
        engine = job.hook.start_engine(job=job)
    name = engine.models[-1] if adapter else None
    questions = [[{"role": "user", "content": row["query"]}] for row in rows]
    replies = engine.generate([Request.of(m, max_new_tokens=longest, adapter=name) for m in questions])
    engine.close()
    return [reply.text for reply in replies]


def exact_match(rows: list[dict[str, str]], answers: list[str]) -> float:
    """Share of answers that are the row's response to the letter."""
    return sum(a == row["response"] for row, a in zip(rows, answers, strict=True)) / len(rows)


def show_answers(rows: list[dict[str, str]], before: list[str], after: list[str], width: int) -> None:
    """Three held-out questions with the right answers, and those before and after, cut to `width` letters.

    Short ones stand in a table, longer ones under each other.
    """
    names = ("held-out question", "right answer", "before", "after")
    shown = [
        (row["query"], row["response"], _readable(old, width), _readable(new, width))
        for row, old, new in list(zip(rows, before, after, strict=True))[:3]
    ]
    if max(map(len, sum(shown, ()))) > 40:
        for cells in shown:
            print(*(f"  {name}: {cell}" for name, cell in zip(names, cells, strict=True)), "", sep="\n", flush=True)
        return
    table = [names, *shown]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for cells in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip(), flush=True)


def _readable(text: str, width: int) -> str:
    """On one line and short, as the answers of an untrained model are neither."""
    line = " ".join(text.split())
    return f"{line[: width - 2]} …" if len(line) > width else line or "(nothing)"


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


def serve_and_ask(model: str, port: int, question: str, loading: dict[str, str], longest: int) -> str:
    """Serve the merged model with `swift deploy` in a process of its own and ask it through the OpenAI client."""
    from swift_plugin_demo.server import served

    with served(model, port, loading) as url:
        import openai

        client = openai.OpenAI(base_url=f"{url}/v1", api_key="EMPTY")
        name = client.models.list().data[0].id
        reply = client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": question}], max_tokens=longest, temperature=0
        )
    return reply.choices[0].message.content or ""


def plot_losses(place: Path, logs: dict[str, Path]) -> Path:
    """The loss of each run over its steps, as one PNG."""
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


def report(scores: dict[str, dict[str, float]], places: dict[str, Any], commands: dict[str, str]) -> None:
    """Right answers per task, where everything is, and commands to go on with."""
    print("\nright answers to held-out questions, to the letter")
    for task, score in scores.items():
        print(f"  {task}: {score['before']:.0%} before, {score['after']:.0%} after training")
    print("\nwhere everything is")
    for name, where in places.items():
        print(f"  {name}: {where}")
    print("\nwhat to do next")
    for what, command in commands.items():
        print(f"  {what}:\n    {command}")


def read_rows(file: Path) -> list[dict[str, str]]:
    """The rows of one file."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
