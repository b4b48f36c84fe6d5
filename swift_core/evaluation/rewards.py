"""Asking rewards: what each reward component of a job gives each completion, checked."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from swift_core.contract.components import Reward, declared
from swift_core.contract.errors import SwiftError
from swift_core.contract.row import Row

if TYPE_CHECKING:
    from swift_core.contract.job import Job, Selected


Scores = list[float | None]
"""Rewards of completions, or the rewards of one completion; None where a reward abstained."""


def score_all(job: Job, rows: list[Row], completions: list[str]) -> list[Scores]:
    """For each completion a list with what each reward gives it, in option order; a row per completion.

    None stands where a reward abstained.

    The rewards work side by side. A SwiftError names the reward and the row where one raises, gives too few values,
    a value that is no finite number, or nothing within `--reward_timeout`.
    """
    items = job.many("reward")
    if not items:
        raise SwiftError("Nothing scores the answers. Say --reward with one or more rewards (swift list rewards).")
    columns = _side_by_side(job, items, rows, completions)
    return [list(values) for values in zip(*columns, strict=True)]


def _side_by_side(job: Job, items: Sequence[Selected], rows: list[Row], completions: list[str]) -> list[Scores]:
    """What each reward gives, all at work at the same time: a judge's answers take long and no computing.

    A reward that says `in_main_thread = True` works in the caller's thread, and no time-out ends it.
    """
    outcomes: dict[int, Any] = {}
    ends = time.monotonic() + job.options.reward_timeout if job.options.reward_timeout else None

    def work(place: int) -> None:
        try:
            outcomes[place] = _column(job, items[place], rows, completions)
        except BaseException as error:  # handed to the thread that waits for it
            outcomes[place] = error

    apart = [n for n, item in enumerate(items) if not declared(item.component, Reward, "in_main_thread")]
    threads = {n: threading.Thread(target=work, args=(n,), daemon=True) for n in apart}
    for thread in threads.values():
        thread.start()
    for place in sorted(set(range(len(items))) - set(apart)):
        work(place)
    for place, thread in threads.items():
        thread.join(None if ends is None else max(0.0, ends - time.monotonic()))
        if thread.is_alive():
            raise SwiftError(
                f"reward {items[place].label}: not done after {job.options.reward_timeout:g} seconds, asked about the "
                f"rows from {rows[0].where} to {rows[-1].where}. Raise --reward_timeout, or make the reward faster."
            )
    return [_value(outcomes[place]) for place in range(len(items))]


def _value(outcome: Any) -> Any:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome


def _column(job: Job, item: Selected, rows: list[Row], completions: list[str]) -> Scores:
    values = _scores(job, item, rows, completions)
    if not isinstance(values, list) or len(values) != len(completions):
        given = f"{len(values)} values" if isinstance(values, list) else type(values).__name__
        raise SwiftError(f"reward {item.label}: {given} for {len(completions)} answers, the first to {rows[0].where}.")
    for row, value in zip(rows, values, strict=True):
        if not (value is None or _finite(value)):
            raise SwiftError(
                f"reward {item.label}: gave {value!r} for {row.where}; a reward is a finite number, or None to abstain."
            )
    return [None if value is None else float(value) for value in values]


def _finite(value: Any) -> bool:
    """Whether it is a finite number of Python, numpy or torch."""
    return hasattr(value, "__float__") and math.isfinite(value)


def _scores(job: Job, item: Selected, rows: list[Row], completions: list[str]) -> Any:
    try:
        return job.call(item, "score", rows=rows, completions=completions)
    except SwiftError:
        raise
    except Exception as error:  # whatever a reward raises, its user wants to know on which row
        place = _failing_row(job, item, rows, completions)
        raise SwiftError(f"reward {item.label} failed on {place}: {type(error).__name__}: {error}") from error


def _failing_row(job: Job, item: Selected, rows: list[Row], completions: list[str]) -> str:
    """Where the first row stands that fails by itself, or the whole batch where each is fine alone."""
    for row, completion in zip(rows, completions, strict=True):
        try:
            job.call(item, "score", rows=[row], completions=[completion])
        except Exception:
            return row.where
    return f"the rows from {rows[0].where} to {rows[-1].where}"
