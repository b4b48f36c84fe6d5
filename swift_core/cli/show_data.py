"""`swift show data WORD …`: what rows become, what of them trains, how long they are, what is wrong with them."""

from __future__ import annotations

import dataclasses
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from swift_core.cli.work import given_by
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.load import batches, read_rows
from swift_core.data.seen import Seen, draw, histogram_lines, length_line, look_at
from swift_core.data.sources import examples_of, source_of
from swift_core.job.options import Given, build, option
from swift_core.job.prepare import prepare
from swift_core.templates.shown import Piece, pieces_of_ids, pieces_of_messages, written

if TYPE_CHECKING:
    from swift_core.contract.job import Job

TOGETHER = 64
"""Rows that are encoded in one call."""

HELP = """swift show data DATA … [options]: what rows become, and what of them trains.

DATA is what --dataset takes: a file, the name of a published data set, a hub id with :subset/split#count.
Without --model the turns are shown and lengths are characters; with it, the text, ids and tokens of training.
Any option of `swift sft` may follow (--template, --max_length, --loss_scale, --columns, --data_root …), and:
"""


@dataclass(kw_only=True)
class ShowOptions:
    """What `swift show data` is asked beside the job."""

    rows: int = option(3, "Rows that are shown; all are read and measured.", ge=0)
    read: int | None = option(None, "Rows that are read of each data set; left out: all.", ge=1)
    example: bool = option(False, "Show what the cards' own examples become; nothing is fetched.")
    png: str | None = option(None, "Also draw the lengths as a picture, into this file.")
    colour: bool | None = option(None, "Colours; left out: where a terminal reads. Without, what trains stands in «».")


@dataclass(frozen=True)
class Shown:
    """One row ready to be shown: its text in pieces, that of the worse answer, and its ids."""

    pieces: list[Piece]
    worse: list[Piece]
    ids: list[int]
    length: int


def show_data(words: list[str]) -> None:
    """Read, encode, print. Raises SwiftError for a wrong word, and where no row can be used."""
    if not words or "--help" in words or "-h" in words:
        print(HELP + "\n".join(f"  --{f.name}  {f.metadata['help']}" for f in dataclasses.fields(ShowOptions)))
        return
    first = next((n for n, word in enumerate(words) if word.startswith("--")), len(words))
    own, job = _asked(words[:first], given_by(words[first:]))
    seen = Seen()
    for word in job.options.dataset:
        source = source_of(word, job.options)
        look_at(job, source, read_rows(job, source, examples_of(source) if own.example else None), seen, own.read)
    if not seen.rows:
        raise SwiftError(f"No row can be used. {seen.unusable[0] if seen.unusable else 'There is none.'}")
    shown, lengths = _encoded(job, seen.rows, own.rows) if job.options.model else _plain(seen.rows, own.rows)
    _print_rows(seen.rows, shown, _colours(own))
    _print_sums(job, seen, lengths, own.png)


def _asked(data: list[str], given: list[Given]) -> tuple[ShowOptions, Job]:
    names = {f.name for f in dataclasses.fields(ShowOptions)}
    own = build(ShowOptions, {g.key: g.value for g in given if g.key in names}, "swift show data")
    rest = [g for g in given if g.key not in names]
    if data:
        rest.append(Given("dataset", data, "swift show data"))
    if not any(g.key == "model" for g in rest):
        plain = {"loader": "", "tuner": [], "template": "chatml"}
        rest += [Given(k, v, "swift show data") for k, v in plain.items() if not any(g.key == k for g in rest)]
    return own, prepare("sft", rest)


def _colours(own: ShowOptions) -> bool:
    return own.colour if own.colour is not None else sys.stdout.isatty() and "NO_COLOR" not in os.environ


def _plain(rows: list[Row], count: int) -> tuple[list[Shown], list[int]]:
    """The first rows as turns, and the characters of all."""
    lengths = [sum(len(m["content"]) for m in row.messages) for row in rows]
    turns = [(pieces_of_messages(row.messages), pieces_of_messages(row.rejected or [])) for row in rows[:count]]
    return [Shown(*pair, [], length) for pair, length in zip(turns, lengths, strict=False)], lengths


def _encoded(job: Job, rows: list[Row], count: int) -> tuple[list[Shown], list[int]]:
    """The first rows as training has them, and the tokens of all; of a pair, of the longer side."""
    from swift_core.jobs.steps import load_processor

    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=job.options.model_revision)
    processor = load_processor(job, path, job.hook.load_config(job=job, path=path))
    tokenizer, shown, lengths = getattr(processor, "tokenizer", processor), list[Shown](), list[int]()
    for group in batches(rows, TOGETHER):
        sides = [side for row in group for side in _sides(row)]
        items = iter(job.hook.encode(job=job, rows=sides, processor=processor, generation=False))
        for row in group:
            encoded = [next(items) for _ in _sides(row)]
            lengths.append(max(len(side["input_ids"]) for side in encoded))
            if len(shown) < count:
                shown.append(_of_ids(tokenizer, encoded, lengths[-1]))
    return shown, lengths


def _sides(row: Row) -> list[Row]:
    """The row, and of a pair the row with its worse answer."""
    return [row] if row.rejected is None else [row, row.with_messages(row.rejected)]


def _of_ids(tokenizer: Any, sides: list[dict[str, Any]], length: int) -> Shown:
    better, worse = (*(pieces_of_ids(tokenizer, side) for side in sides), [])[:2]
    return Shown(better, worse, [int(i) for i in sides[0]["input_ids"]], length)


def _print_rows(rows: list[Row], shown: list[Shown], colour: bool) -> None:
    for number, (row, one) in enumerate(zip(rows, shown, strict=False), 1):
        media = "".join(f", {len(values)} {name}" for name, values in row.media.items())
        print(f"--- row {number}: {row.where}, {one.length} {'tokens' if one.ids else 'characters'}{media}")
        print(written(one.pieces, colour).rstrip())
        if one.worse:
            print(f"rejected:\n{written(one.worse, colour).rstrip()}")
        facts = {"ids": one.ids, "label": row.label, "objects": row.objects, "tools": len(row.tools), **row.media}
        for name, value in facts.items():
            if value not in (None, 0, [], {}) or (name == "label" and value is not None):
                print(f"{name}: {_short(value)}")
        if row.extra:
            print(f"beside: {', '.join(map(str, row.extra))}")
        print()


def _short(value: Any) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 200 else f"{text[:200]} …"


def _print_sums(job: Job, seen: Seen, lengths: list[int], png: str | None) -> None:
    unit = "tokens" if job.options.model else "characters"
    limit = job.options.max_length
    print(f"{len(seen.rows)} rows can be used")
    for count, what, first in (
        (len(seen.unusable), "cannot be used", seen.unusable),
        (seen.empty, "of these have an empty answer", []),
        (len(seen.doubles), "say the same as an earlier one", seen.doubles),
        (sum(n > limit for n in lengths) if limit else 0, f"are longer than --max_length {limit} {unit}", []),
    ):
        if count:
            print(f"{count} {what}" + (f", the first: {first[0]}" if first else ""))
    print(length_line(lengths, unit), *histogram_lines(lengths), sep="\n")
    if png:
        draw(lengths, unit, limit, png)
        print(f"picture: {png}")
