"""Batches that hold every kind of media: where weights are split among processes, all must run the same modules.

A process whose batch has a picture gathers the weights of the vision tower, and waits for the others to take part. So
a batch without one is lent a row that has one, of which nothing is trained: it changes no loss and no gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.encoding.media_check import media_in
from swift_plugin_runtime.options import splits_weights, zero_stage


def needs_lending(job: Job) -> bool:
    """Whether a module that only some processes run would let the others wait for ever."""
    return splits_weights(job) or zero_stage(job) == 3


class Lending:
    """A collator that adds to a batch the media that it lacks. rows: encoded ones that hold every kind there is."""

    def __init__(self, collate: Callable[[list[Any]], dict[str, Any]], rows: list[dict[str, Any]]):
        self.collate = collate
        self.rows = [{**row, "labels": [IGNORED] * len(row["labels"])} for row in rows]

    def __call__(self, items: list[Any]) -> dict[str, Any]:
        held = {key for item in items for row in (item if isinstance(item, list) else [item]) for key in media_in(row)}
        lent = []
        for row in self.rows:
            if not held >= {*media_in(row)}:
                lent.append(row)
                held |= {*media_in(row)}
        return self.collate([*items, *lent])


def refuse_media_where_split(job: Job, rows: list[Row]) -> None:
    """SwiftError where rows with media meet split weights, for methods whose batches cannot be lent a row."""
    pictured = next((row for row in rows if row.media), None)
    if pictured is not None and needs_lending(job):
        name = job.many("trainer")[0].entry.name
        raise SwiftError(
            f"{pictured.where}: the weights are split among processes, which must all run the vision or audio tower at "
            f"once, and {name} compares rows of which only some have media. Leave --fsdp or ZeRO 3 out."
        )
