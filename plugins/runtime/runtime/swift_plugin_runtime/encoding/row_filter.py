"""Rows that a training method can use, and what becomes of the others."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.faults import NAMED, listed
from swift_core.data.values import number_of


def usable(job: Job, rows: list[Row], fault: Callable[[Row], str | None], what: str) -> list[Row]:
    """The rows in which `fault` finds nothing wrong.

    fault: what is wrong with a row, without its place; None where it is sound. what: what the faulty rows lack.
    The first fault raises SwiftError with file and line; under `--strict false` faulty rows are left out and
    counted, and it is an error only where none is left.
    """
    faults = {id(row): f"{row.where}: {text}" for row in rows if (text := fault(row))}
    first = list(islice(faults.values(), NAMED))
    if faults and (job.options.strict or len(faults) == len(rows)):
        raise SwiftError(first[0])
    if faults:
        job.say(f"left out {len(faults)} rows without {what}{listed(len(faults), first)}")
    return [row for row in rows if id(row) not in faults]


def is_number(value: Any) -> bool:
    """Whether it is a finite number, which true and false are not."""
    return not isinstance(value, str) and number_of(value) is not None
