"""Inference: answers to every row of a data set, or a chat at the terminal."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import EngineTraits, declared
from swift_core.contract.engine import Engine, Reply, Request, Sampling
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.load import load_all, split_rows
from swift_core.inference.chat import chat
from swift_core.inference.conversation import answers, ask, first_adapter, sampling
from swift_core.inference.guided import check_kept, form_of
from swift_core.jobs.journal import append, line_of, mark_of, rewrite, whole_lines

if TYPE_CHECKING:
    from swift_core.contract.job import Job

RESULT = "result.jsonl"


def run(job: Job) -> list[dict[str, Any]]:
    """Answer the rows of the data set and return the records written; without one, chat until `exit`."""
    how = sampling(job.options, guide=form_of(job.options))
    rows = asked_rows(job)
    place = Results(job, rows) if rows else None
    engine = job.hook.start_engine(job=job)
    try:
        check_kept(engine, how, job.options.backend)
        if place is None:
            chat(engine, _adapter(job, engine), how)
            return []
        return answer_rows(job, engine, rows, place, how)
    finally:
        engine.close()


def asked_rows(job: Job) -> list[Row]:
    """The rows to answer: `--val_dataset`, else what `--split_dataset_ratio` holds out of `--dataset`, else all."""
    options = job.options
    words = options.val_dataset or options.dataset
    if not words:
        return []
    rows = load_all(job, words, need_answer=False)
    held = [] if options.val_dataset else split_rows(rows, options.split_dataset_ratio, options.data_seed)[1]
    return held or rows


def answer_rows(job: Job, engine: Engine, rows: list[Row], place: Results, how: Sampling) -> list[dict[str, Any]]:
    """Answer what is not answered yet, and write each answer as soon as it and those before it are there."""
    from rich.console import Console
    from rich.progress import Progress

    adapter = _adapter(job, engine)
    whole = declared(engine, EngineTraits, "scores_answers")
    each = (ask(row, job.options, adapter, job.options.seed + n, whole) for n, row in enumerate(rows))
    requests = [request.drawn(guide=how.guide) for request in each]
    left = list(range(len(place.records), len(rows)))
    asked = [requests[n] for n in left]
    replies = _shown(engine, asked) if job.options.stream else answers(engine, asked, job.options.max_batch_size)
    with Progress(console=Console(stderr=True), disable=job.options.stream) as progress, closing(replies):
        bar = progress.add_task("answering", total=len(rows), completed=len(place.records))
        for n, reply in zip(left, replies, strict=True):
            place.add([record(rows[n], reply)])
            progress.advance(bar)
    job.say(f"{len(rows)} answers are in {place.finish()}.")
    return place.records


def _adapter(job: Job, engine: Engine) -> str | None:
    if len(engine.models) > 2:
        job.say(f"Several adapters are loaded; {engine.models[1]!r}, the first, answers.")
    return first_adapter(engine)


def record(row: Row, reply: Reply) -> dict[str, Any]:
    """One line of the result: the row with the answer in it, the answer by itself, and the row's own answer."""
    messages = [*row.prompt().messages, {"role": "assistant", "content": reply.text}]
    line: dict[str, Any] = {"response": reply.text, "labels": row.answer or None, "messages": messages}
    line["finish_reason"] = reply.finish_reason
    if reply.calls:
        line["tool_calls"] = reply.calls
    for name in ("images", "videos", "audios", "tools", "objects"):
        if getattr(row, name):
            line[name] = getattr(row, name)
    return {**row.extra, **line}


APART = ("resume", "result_path", "stream", "max_batch_size")
"""Options that change no answer."""


class Results:
    """The result file: written beside its place, line by line, and put there when it is whole.

    An interrupted run leaves FILE.part, and what stood at FILE before. `--resume true` goes on from the
    part, if it holds answers to the first of these rows given by the same job.
    """

    def __init__(self, job: Job, rows: list[Row]):
        self.path = Path(job.options.result_path or RESULT)
        self.part = self.path.with_name(self.path.name + ".part")
        self.mark = "#" + mark_of(job, APART)
        self.records: list[dict[str, Any]] = []
        if self.path.is_dir():
            raise SwiftError(f"--result_path {self.path} is a folder; say a file.")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if job.options.resume and self.part.is_file():
            self.records = self._read(rows)
            job.say(f"{len(self.records)} of {len(rows)} answers stand in {self.part} already.")
        rewrite(self.part, [self.mark, *map(line_of, self.records)])

    def _read(self, rows: list[Row]) -> list[dict[str, Any]]:
        """The whole lines of the part; a last line that was cut off does not count."""
        first, *lines = whole_lines(self.part) or [""]
        records = [json.loads(line) for line in lines]
        asked = [json.loads(line_of(r.prompt().messages)) for r in rows]
        if first != self.mark or [r["messages"][:-1] for r in records] != asked[: len(records)]:
            raise SwiftError(
                f"{self.part} was written by another job (other rows, model or settings), so it cannot be gone on "
                "with. Leave --resume out to write it anew, or choose another --result_path."
            )
        return records

    def add(self, records: list[dict[str, Any]]) -> None:
        """Append to the file, on the disk before this returns."""
        append(self.part, map(line_of, records))
        self.records += records

    def finish(self) -> Path:
        """Put the whole result in its place, without the mark; returns where."""
        rewrite(self.path, map(line_of, self.records))
        self.part.unlink()
        return self.path


def _shown(engine: Engine, requests: list[Request]) -> Generator[Reply, None, None]:
    """Replies one after the other, printed as they come."""
    for request in requests:
        yield _print_stream(engine, request)


def _print_stream(engine: Engine, request: Request) -> Reply:
    """Print an answer as it comes; returns the reply."""
    stream = engine.stream(request)
    try:
        while True:
            print(next(stream), end="", flush=True)
    except StopIteration as stop:
        print(flush=True)
        reply: Reply = stop.value
        return reply
