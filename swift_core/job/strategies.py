"""Ways to share a step among processes, chosen by their options: `--sequence_parallel_size 2` needs no other word."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.components import Parallel, declared
from swift_core.job.options import Given, fields_of, match_field
from swift_core.job.selected import Selected

KIND = "parallel"


def choose_by_options(options: Any, rest: Iterable[Given], catalogue: Catalogue) -> None:
    """Add to `options.parallel` the strategies of which `rest` says an option; nothing for a job without such steps.

    What the trainer has as an option of its own is meant for the trainer: its engine shares the step itself.
    """
    if KIND not in fields_of(type(options)):
        return
    own = [e.load() for e in catalogue.of_kind("trainer") if e.name == options.trainer]
    keys = {g.key for g in rest if not any(_has_one_of(trainer, [g.key]) for trainer in own)}
    asked = [e.name for e in catalogue.of_kind(KIND) if _has_one_of(e.load(), keys)]
    options.parallel = list(dict.fromkeys([*options.parallel, *asked]))


def leave_out_inactive(selected: list[Selected]) -> None:
    """Take out the strategies whose options ask for nothing, such as `--fsdp false`."""
    selected[:] = [c for c in selected if c.kind != KIND or declared(c.component, Parallel, "active")]


def _has_one_of(component: Any, keys: Iterable[str]) -> bool:
    return isinstance(component, type) and any(match_field(component, key) for key in keys)
