"""The rows of a data set as text, or as what a model would be trained on; runs as a process of its own.

    python -m swift_plugin_webui.look FILE.json   {"job": "sft", "values": {…}, "first": 0, "count": 20}

prints one JSON object: `said` (what the job says of the rows), `rows`, `total`, `lengths`, and `unit`, in which they
are counted; or `error`. With a model among the values each row has `tokens`: pairs of text and weight in the loss; a
pair of answers has those of the worse one as `worse`. More may be asked: `folders`, from which pictures may be shown,
and `examples` (bool): the rows of the data set's card, for which nothing is fetched.
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
from swift_core.data.load import as_row, convert_all, load_one, read_rows
from swift_core.data.sources import examples_of
from swift_core.job.job import PreparedJob
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.templates.encode import IGNORED
from swift_core.templates.shown import Piece, pieces_of_ids
from swift_plugin_webui.safety.paths import Places
from swift_plugin_webui.thumbnails import media_of

MEASURED, WITH_MEDIA = 1000, 50
"""Rows whose lengths in tokens are counted: in all, and where they hold pictures, videos or sounds."""

WORDS = "causal_lm"
"""The task of models that learn tokens; others learn from whole texts."""


def main(asked: dict[str, Any]) -> dict[str, Any]:
    """What there is to see of the rows that are asked for."""
    said: list[str] = []
    try:
        job = prepare(asked["job"], [Given(key, value, "Web-UI") for key, value in asked["values"].items()])
        with contextlib.redirect_stderr(_Lines(said)), contextlib.redirect_stdout(_Lines(said)):
            return {**_seen(job, asked), "said": said}
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


def _seen(job: PreparedJob, asked: dict[str, Any]) -> dict[str, Any]:
    rows = [row for word in job.options.dataset for row in _rows_of(job, word, asked.get("examples", False))]
    if not rows:
        print(f"{', '.join(job.options.dataset)}: no row can be used")
    shown = range(asked["first"], min(asked["first"] + asked["count"], len(rows)))
    if job.options.model:
        pieces, lengths = _encoded(job, rows, shown)
    else:
        pieces, lengths = {}, [sum(len(m["content"] or "") for m in row.messages) for row in rows]
    places = Places(asked.get("folders", []))
    listed = [_plain(rows[n], pieces.get(n, []), places) for n in shown]
    unit = "tokens" if job.options.model else "characters"
    return {"total": len(rows), "rows": listed, "lengths": lengths, "unit": unit}


def _rows_of(job: PreparedJob, word: str, examples: bool) -> list[Row]:
    """The rows that can be used; what is wrong with the others is said. With a model, only those with an answer."""
    source = job.options.source_of(word)
    answers = bool(job.options.model) and bool(declared(job.one("trainer"), Trainer, "needs_answer"))
    if not examples:
        return load_one(job, source, answers)
    raw = [item for item in read_rows(job, source, examples_of(source)) if isinstance(item, dict)]
    return convert_all(job, source, raw, lambda item: as_row(job, item, source, answers))


def _plain(row: Row, sides: list[list[Piece]], places: Places) -> dict[str, Any]:
    value = {
        "where": row.where,
        "messages": row.messages,
        "rejected": row.rejected,
        "label": row.label,
        "tools": row.tools,
        "beside": row.extra,
        "media": media_of(row, places),
        "tokens": sides[0] if sides else None,
        "worse": sides[1] if len(sides) > 1 else None,
    }
    return json.loads(json.dumps(value, default=lambda v: f"({type(v).__name__})", ensure_ascii=False))


def _encoded(job: PreparedJob, rows: list[Row], shown: range) -> tuple[dict[int, list[list[Piece]]], list[int]]:
    """(number of a shown row → text and weight of its sides, lengths in tokens of the first rows).

    The length of a pair is that of its longer side. A row that cannot be encoded, for want of its picture for
    instance, is said and left out.
    """
    from swift_plugin_runtime.planning.shape import config_folder

    from swift_core.jobs.steps import load_processor

    folder = config_folder(job)
    processor = load_processor(job, folder, job.hook.load_config(job=job, path=folder))
    tokenizer = getattr(processor, "tokenizer", processor)
    measured = range(min(len(rows), WITH_MEDIA if any(row.media for row in rows) else MEASURED))
    numbers = sorted({*measured, *shown})
    encoded = dict(zip(numbers, _all_encoded(job, [_sides(job, rows[n]) for n in numbers], processor), strict=True))
    lengths = [max(len(side["input_ids"]) for side in encoded[n]) for n in measured if encoded[n]]
    return {n: [_weighed(job, pieces_of_ids(tokenizer, side)) for side in encoded[n]] for n in shown}, lengths


def _sides(job: PreparedJob, row: Row) -> list[Row]:
    """What the method makes of a row: a question whose answer it draws, a pair, or the row itself."""
    from swift_plugin_runtime.alignment.preference import sides_of

    if _draws(job):
        return [row.prompt()]
    if row.rejected is None or "rejected" in declared(job.one("trainer"), Trainer, "ignores"):
        return [row]
    return list(sides_of(row))


def _all_encoded(job: PreparedJob, rows: list[list[Row]], processor: Any) -> list[list[dict[str, Any]]]:
    """Every row's sides; none of a row that cannot be encoded."""
    try:
        items = iter(_encode(job, [side for sides in rows for side in sides], processor))
        return [[next(items) for _ in sides] for sides in rows]
    except SwiftError:
        return [_tried(job, sides, processor) for sides in rows]


def _tried(job: PreparedJob, sides: list[Row], processor: Any) -> list[dict[str, Any]]:
    try:
        return _encode(job, sides, processor)
    except SwiftError as error:
        where = sides[0].where
        print(str(error) if where in str(error) else f"{where}: {error}")
        return []


def _encode(job: PreparedJob, rows: list[Row], processor: Any) -> list[dict[str, Any]]:
    encoded = job.hook.encode(job=job, rows=rows, processor=processor, generation=_draws(job))
    return [{"labels": [IGNORED] * len(item["input_ids"]), **item} for item in encoded]  # a question has no labels


def _draws(job: PreparedJob) -> bool:
    """Whether the method asks and answers itself, so that no answer of a row is trained."""
    trainer = job.one("trainer")
    return bool(declared(trainer, Trainer, "draws")) and not declared(trainer, Trainer, "needs_answer")


def _weighed(job: PreparedJob, pieces: list[Piece]) -> list[Piece]:
    """The pieces; of a method that scores whole texts, none of them is trained by itself."""
    from swift_plugin_runtime.loading.heads import task_of

    return [("".join(text for text, _ in pieces), 0.0)] if task_of(job) != WORDS else pieces


if __name__ == "__main__":
    print("\n" + json.dumps(main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))), ensure_ascii=False))
