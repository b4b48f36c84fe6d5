"""`python -m benchmarks.encode`: rows per CPU second from conversations to ids and labels, against the raw tokenizer.

raw: ids of `encode_batch_fast` on texts that are rendered already, no labels: the floor. spans: our ids and labels from
spans that are rendered already. whole: our encode hook, rendering included. template: transformers' batched
apply_chat_template with the assistant mask.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.measure import HERE, report, run, spread

TOGETHER = 64


def prepared(given: dict[str, Any]) -> tuple[Any, Any, Any]:
    """(an sft job with these options, its rows, its tokenizer)."""
    import transformers

    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.train import load_data

    job = prepare("sft", [Given(k, v, "benchmark") for k, v in given.items()])
    return job, load_data(job)[0], transformers.AutoTokenizer.from_pretrained(given["model"])


def contestants(folder: Path) -> tuple[dict[str, Callable[[], Any]], int]:
    """Name → one pass over all rows, and how many rows that is."""
    from swift_core.templates.encode import encode_spans
    from swift_core.templates.render import spans_of

    given = {"model": str(folder / "model"), "dataset": [str(folder / "rows.jsonl")], "template": "chatml"}
    job, rows, tokenizer = prepared(given)
    groups = [rows[n : n + TOGETHER] for n in range(0, len(rows), TOGETHER)]
    spans = [[spans_of(job, row, tokenizer) for row in group] for group in groups]
    texts = [["".join(s.text for s in row) for row in group] for group in spans]
    talks = [[row.messages for row in group] for group in groups]
    raw = tokenizer.backend_tokenizer

    def templated(group: list[Any]) -> Any:
        return tokenizer.apply_chat_template(group, return_assistant_tokens_mask=True, return_dict=True)

    return {
        "raw": lambda: [[e.ids for e in raw.encode_batch_fast(group, add_special_tokens=False)] for group in texts],
        "spans": lambda: [encode_spans(tokenizer, group) for group in spans],
        "whole": lambda: [job.hook.encode(job=job, rows=g, processor=tokenizer, generation=False) for g in groups],
        "template": lambda: [templated(group) for group in talks],
    }, len(rows)


def main() -> None:
    """Alternate the contestants and print rows per CPU second and the ratio to the raw tokenizer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.encode", description=__doc__)
    parser.add_argument("--rows", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", help="JSON file for all figures.")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        run([sys.executable, str(HERE / "train" / "material.py"), place, str(arguments.rows)])
        passes, count = contestants(Path(place))
        seconds: dict[str, list[float]] = {name: [] for name in passes}
        for number in range(arguments.rounds + 1):
            for name, work in passes.items():
                begun = time.process_time()
                work()
                if number:  # the first round fills caches
                    seconds[name].append(time.process_time() - begun)
    rows = []
    for name, mine in seconds.items():
        pairs = sorted(raw / own for raw, own in zip(seconds["raw"], mine, strict=True))
        figures = spread((pairs[0], statistics.median(pairs), pairs[-1]))
        rows.append({"contestant": name, "rows per CPU s": round(count / statistics.median(mine)), "x raw": figures})
    report(f"Encoding of {count} rows", rows, seconds, arguments.out)


if __name__ == "__main__":
    import os

    os.environ["RAYON_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    sys.exit(main())
