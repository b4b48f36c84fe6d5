"""The rows of a data set as text, or as what a model would be trained on; runs as a process of its own.

    python -m swift_plugin_webui.look FILE.json   {"job": "sft", "values": {…}, "first": 0, "count": 20}

prints one JSON object: `said` (what the job says of the rows), `rows` and `total`; or `error`. With a model among the
values each row has `tokens`: pairs of text and weight in the loss.
"""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.contract.components import Trainer, declared
from swift_core.contract.row import Row
from swift_core.data.load import load_one
from swift_core.job.job import PreparedJob
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

IGNORED = -100


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """What there is to see of the rows that are asked for."""
    said: list[str] = []
    try:
        job = prepare(asked["job"], [Given(key, value, "Web-UI") for key, value in asked["values"].items()])
        with contextlib.redirect_stderr(_Lines(said)), contextlib.redirect_stdout(_Lines(said)):
            return {**_seen(job, asked["first"], asked["count"]), "said": said}
    except SwiftError as error:
        return {"error": str(error), "said": said}


class _Lines:
    """A stream that keeps its lines."""

    def __init__(self, lines: list[str]):
        self.lines = lines

    def write(self, text: str) -> int:
        self.lines += [line for line in text.splitlines() if line.strip()]
        return len(text)

    def flush(self) -> None:
        """Nothing waits."""

    def isatty(self) -> bool:
        return False


def _seen(job: PreparedJob, first: int, count: int) -> dict[str, Any]:
    answers = bool(job.options.model) and bool(declared(job.one("trainer"), Trainer, "needs_answer"))
    rows = [row for word in job.options.dataset for row in load_one(job, job.options.source_of(word), answers)]
    shown = rows[first : first + count]
    tokens, lengths = _encoded(job, shown, rows) if job.options.model else ([], [])
    listed = [_plain(row, tokens[n] if n < len(tokens) else None) for n, row in enumerate(shown)]
    return {"total": len(rows), "rows": listed, "lengths": lengths}


def _plain(row: Row, tokens: list[tuple[str, float]] | None) -> dict[str, Any]:
    media = {sort: len(items) for sort, items in row.media.items() if items}
    value = {"where": row.where, "messages": row.messages, "media": media, "label": row.label, "tokens": tokens}
    return json.loads(json.dumps(value, default=lambda v: f"({type(v).__name__})", ensure_ascii=False))


def _encoded(job: PreparedJob, shown: list[Row], rows: list[Row]) -> tuple[list[list[tuple[str, float]]], list[int]]:
    """(text and weight of every token of the shown rows, the lengths in tokens of the first thousand rows)."""
    from swift_plugin_runtime.planning.shape import config_folder

    from swift_core.jobs.steps import load_processor

    folder = config_folder(job)
    processor = load_processor(job, folder, job.hook.load_config(job=job, path=folder))
    tokenizer = getattr(processor, "tokenizer", processor)
    encoded = job.hook.encode(job=job, rows=shown, processor=processor, generation=False) if shown else []
    some = rows[:1000]
    lengths = [
        len(item["input_ids"]) for item in job.hook.encode(job=job, rows=some, processor=processor, generation=False)
    ]
    return [_pieces(tokenizer, item) for item in encoded], lengths


def _pieces(tokenizer: Any, item: dict[str, Any]) -> list[tuple[str, float]]:
    """Neighbouring tokens of one weight, as text."""
    ids, labels = [list(map(int, item[name])) for name in ("input_ids", "labels")]
    weights = [float(w) for w in item["loss_scale"]] if "loss_scale" in item else [1.0] * len(ids)
    pieces: list[tuple[list[int], float]] = []
    for one, label, weight in zip(ids, labels, weights, strict=True):
        counted = weight if label != IGNORED else 0.0
        if pieces and pieces[-1][1] == counted:
            pieces[-1][0].append(one)
        else:
            pieces.append(([one], counted))
    return [(str(tokenizer.decode(run, skip_special_tokens=False)), weight) for run, weight in pieces]


if __name__ == "__main__":
    print("\n" + json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), ensure_ascii=False))
