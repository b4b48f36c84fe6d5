"""Rejection sampling: draw several answers to each row, score them, keep the best as rows to train on."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core.contract.engine import Engine, Reply, Request
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row
from swift_core.data.load import batches, load_all
from swift_core.evaluation.rewards import Scores, score_all
from swift_core.inference.conversation import answers, ask, first_adapter
from swift_core.jobs.journal import append, mark_of

if TYPE_CHECKING:
    from swift_core.contract.job import Job


@dataclass
class Task:
    """One row to answer. key: tells it from all others, in this run and the next. number: its place in the data."""

    row: Row
    key: str
    number: int


@dataclass
class Drawn:
    """One answer. rewards: by the reward's label, without those that abstained; empty where the job has none.

    judged: False where the job has rewards and all of them abstained.
    """

    reply: Reply
    rewards: dict[str, float]
    judged: bool = True

    @property
    def mean(self) -> float:
        """The mean of its rewards."""
        return sum(self.rewards.values()) / max(1, len(self.rewards))


def run(job: Job) -> dict[str, Any]:
    """Sample; returns `{"file", "rows", "kept", "mean_reward"}` of this run."""
    check_options(job)
    rows = [row.with_system(job.options.system) for row in load_all(job, job.options.dataset, need_answer=False)]
    journal = Journal(job)
    tasks = [task for task in number_rows(rows) if task.key not in journal.done]
    if len(tasks) < len(rows):
        job.say(f"{len(rows) - len(tasks)} of {len(rows)} rows are done already.")
    rewards = draw_all(job, tasks, journal) if tasks else []
    job.say(f"{journal.kept} answers to {len(tasks)} rows were added to {journal.file}.")
    mean = sum(rewards) / len(rewards) if rewards and job.many("reward") else None
    return {"file": str(journal.file), "rows": len(tasks), "kept": journal.kept, "mean_reward": mean}


def check_options(job: Job) -> None:
    """Refuse what would draw nothing new or keep by a reward that is not there."""
    options = job.options
    if not options.dataset:
        raise SwiftError("Which questions? Say --dataset with a file or a hub id.")
    if options.threshold is not None and not job.many("reward"):
        raise SwiftError("--threshold compares rewards. Say --reward with one or more (swift list rewards).")
    if options.temperature == 0 and options.num_return_sequences > 1:
        raise SwiftError("--temperature 0 draws the same answer every time. Raise it, or draw one per row.")


def number_rows(rows: list[Row]) -> list[Task]:
    """Each row with a key made from what it asks; a question that stands in the data twice has two keys."""
    seen: Counter[str] = Counter()
    tasks = []
    for number, row in enumerate(rows):
        asked = [row.prompt().messages, row.tools, [plain_media(m) for v in row.media.values() for m in v]]
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]
        seen[key] += 1
        tasks.append(Task(row, key if seen[key] == 1 else f"{key}-{seen[key]}", number))
    return tasks


def draw_all(job: Job, tasks: list[Task], journal: Journal) -> list[float]:
    """Answer every task, score a batch at a time, and write what is kept; returns the mean reward of every answer."""
    from rich.console import Console
    from rich.progress import Progress

    rewards: list[float] = []
    together = max(1, job.options.max_batch_size // job.options.num_return_sequences)
    engine = job.hook.start_engine(job=job)
    try:
        replies = answers(engine, requests(job, engine, tasks), together * job.options.num_return_sequences)
        with Progress(console=Console(stderr=True)) as progress, closing(replies):
            bar = progress.add_task("sampling", total=len(tasks))
            for group in batches(tasks, together):
                for task, drawn in zip(group, draw(job, replies, group), strict=True):
                    journal.add(task, drawn, choose(job, drawn))
                    rewards += [answer.mean for answer in drawn if answer.judged]
                progress.advance(bar, len(group))
    finally:
        engine.close()
    return rewards


def requests(job: Job, engine: Engine, tasks: list[Task]) -> list[Request]:
    """What is asked, task by task. Seeds follow from the row's place, so that a run can be repeated."""
    count, options = job.options.num_return_sequences, job.options
    adapter = first_adapter(engine)
    asked = [(task.row, task.number * count + n) for task in tasks for n in range(count)]
    return [ask(row, options, adapter, seed=options.seed + n) for row, n in asked]


def draw(job: Job, replies: Iterator[Reply], tasks: list[Task]) -> list[list[Drawn]]:
    """The scored answers to each task, the next of the replies."""
    count = job.options.num_return_sequences
    rows = [task.row for task in tasks for _ in range(count)]
    given = list(islice(replies, len(rows)))
    labels = [item.label for item in job.many("reward")]
    scores = score_all(job, rows, [r.text for r in given]) if labels else [[]] * len(given)
    drawn = [_drawn(reply, labels, s) for reply, s in zip(given, scores, strict=True)]
    return [drawn[start : start + count] for start in range(0, len(drawn), count)]


def _drawn(reply: Reply, labels: list[str], scores: Scores) -> Drawn:
    given = {label: score for label, score in zip(labels, scores, strict=True) if score is not None}
    return Drawn(reply, given, judged=bool(given) or not labels)


def choose(job: Job, answers: list[Drawn]) -> list[Drawn]:
    """The best answers, at most `keep`, none twice; not those that are empty, cut at the limit, unjudged or too low."""
    least = job.options.threshold
    whole = [a for a in answers if a.judged and a.reply.text.strip() and a.reply.finish_reason != "length"]
    good = [a for a in whole if least is None or a.mean >= least]
    unique: dict[str, Drawn] = {}
    for answer in sorted(good, key=lambda a: -a.mean):  # stable: of equals, the one drawn first
        unique.setdefault(answer.reply.text, answer)
    return list(unique.values())[: job.options.keep]


APART = ("dataset", "output_file", "max_batch_size", "device")
"""Options that change no answer: how many are drawn together, for one."""


class Journal:
    """The output file, and beside it FILE.drawn with one line per finished row.

    A row whose answers stand in the file is never drawn again. One that gave none worth keeping is drawn
    again only by another job: another model, other settings.
    """

    def __init__(self, job: Job):
        self.file = Path(job.options.output_file)
        self.drawn = self.file.with_name(self.file.name + ".drawn")
        self.mark = mark_of(job, APART)[:16]
        self.kept = 0
        if self.file.is_dir():
            raise SwiftError(f"--output_file {self.file} is a folder; say a file.")
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.done = {line.get("sample") for line in _read(self.file)}
        self.done |= {line["sample"] for line in _read(self.drawn) if line["job"] == self.mark}

    def add(self, task: Task, answers: list[Drawn], kept: list[Drawn]) -> None:
        """Write what is kept, then that the row is done: stopped in between, nothing is lost."""
        self.kept += len(kept)
        if kept:
            append(self.file, [_json(record(task, answer)) for answer in kept])
        best = max((a.mean for a in answers if a.judged), default=0.0)
        line = {"sample": task.key, "where": task.row.where, "drawn": len(answers), "kept": len(kept), "best": best}
        append(self.drawn, [_json({**line, "job": self.mark})])


def _json(line: dict[str, Any]) -> str:
    """One line; TypeError for a value that JSON cannot hold: it would be lost."""
    return json.dumps(line, ensure_ascii=False)


def record(task: Task, answer: Drawn) -> dict[str, Any]:
    """A training row: the question with this answer, its rewards, and the row's other columns."""
    row, reply = task.row, answer.reply
    said: dict[str, Any] = {"role": "assistant", "content": reply.content}
    if reply.calls:
        said["tool_calls"] = reply.calls
    line: dict[str, Any] = {**row.extra, "messages": [*row.prompt().messages, said]}
    for name in ("images", "videos", "audios"):
        if getattr(row, name):
            line[name] = [plain_media(m) for m in getattr(row, name)]
    for name in ("tools", "objects"):
        if getattr(row, name):
            line[name] = getattr(row, name)
    scores = {"reward": answer.mean, "rewards": answer.rewards} if answer.rewards else {}
    return {**line, **scores, "sample": task.key}


def plain_media(item: Any) -> str:
    """A medium as JSON can hold it: its path, or its bytes as a data URI.

    Raises SwiftError for a medium that has no such form.
    """
    if isinstance(item, str | Path):
        return str(item)
    if not isinstance(item, bytes):
        if not hasattr(item, "save"):
            raise SwiftError(f"A medium of type {type(item).__name__} cannot be written to a file; give its path.")
        stream = io.BytesIO()
        item.save(stream, format="PNG")
        item = stream.getvalue()
    return "data:application/octet-stream;base64," + base64.b64encode(item).decode()


def _read(file: Path) -> list[dict[str, Any]]:
    """The lines of a JSONL file; a last one that a crash cut off is removed from it."""
    if not file.is_file():
        return []
    *lines, last = file.read_bytes().split(b"\n")
    if last:
        _mend(file, len(last), _is_json(last))
        lines += [last] * _is_json(last)
    if not all(_is_json(line) for line in lines if line.strip()):
        raise SwiftError(f"{file} is there already and is no file of samples; choose another --output_file.")
    return [json.loads(line) for line in lines if line.strip()]


def _mend(file: Path, length: int, whole: bool) -> None:
    """End the file's last line, `length` bytes without an end, where it is whole; else take it away."""
    with file.open("r+b") as stream:
        stream.seek(0 if whole else -length, os.SEEK_END)
        stream.truncate()
        stream.write(b"\n" * whole)


def _is_json(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False
