"""One job: options → selected components → loaded → registered on the job's own plugin manager.

Nothing here is global: two jobs in one process do not see each other.
"""

from __future__ import annotations

import dataclasses
import errno
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pluggy

from swift_core.catalogue.entries import Entry
from swift_core.contract import hooks
from swift_core.contract.capability import Unsupported
from swift_core.contract.components import Component, Tuner, declared
from swift_core.contract.errors import SwiftError
from swift_core.job.lockfile import lock_of, write_lock
from swift_core.job.options import Given
from swift_core.job.plugin_manager import Components
from swift_core.job.selected import Selected
from swift_core.job.specs import JobSpec

ORDER = (
    "loader dataset template bbox agent loss_scale quantizer patcher tuner optimizer trainer reward environment "
    "parallel launcher backend server evaluator exporter model"
).split()
"""Registration order. The last registered is asked first, so a family's own hook beats the generic one."""

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""A full disk, a used up share of it, one that is only read, a file too large for it."""


@dataclass
class PreparedJob:
    """A prepared job. `hook` calls the selected components; `one` and `many` give them by kind.

    memo: what a part of the kernel computes once for the life of the job, under a key of its own. given: what
    the user said, from which another process can prepare the same job.
    """

    spec: JobSpec
    options: Any
    selected: list[Selected] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    given: list[Given] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.selected = _depth_first(self.selected)
        self.plugin_manager = Components("swift_core")
        self.plugin_manager.add_hookspecs(hooks)
        self.hook: Any = self.plugin_manager.hook
        for item in sorted(self.selected, key=lambda c: ORDER.index(c.kind)):
            self._register(item)

    def run(self) -> Any:
        """Do the job; what it returns. SwiftError also where a file cannot be written for want of room or of leave."""
        try:
            return self.spec.runner()(self)
        except OSError as error:
            if error.errno not in UNWRITABLE:
                raise
            raise SwiftError(
                f"{error.filename or 'A file of this job'} could not be written: {error.strerror}. What was written "
                f"before is kept. Make room, or choose another place, and run `swift {self.spec.name}` again."
            ) from error

    def _register(self, item: Selected) -> None:
        if type(item.component).__hash__ is None:
            raise SwiftError(
                f"{item.entry.title} does not keep the contract: its class compares by value. Write "
                "@dataclass(eq=False), so that two components of one kind stay apart."
            )
        try:
            self.plugin_manager.register(item.component, name=f"{item.kind}:{item.label}")
            self.plugin_manager.check_pending()
        except pluggy.PluginValidationError as error:
            raise SwiftError(f"{item.entry.title} does not keep the contract: {error}") from None

    def replace(self, item: Selected, entry: Entry, component: Any) -> None:
        """Put another component in the place of a selected one; the job's hooks are then the new one's."""
        self.plugin_manager.unregister(name=f"{item.kind}:{item.label}")
        item.entry, item.label, item.component = entry, entry.name, component
        self._register(item)

    def put(self, kind: str, entry: Entry | None) -> None:
        """Let the component of a kind that a job has once be `entry`, with its default options; None: let it go."""
        for item in self.many(kind):
            self.plugin_manager.unregister(name=f"{kind}:{item.label}")
            self.selected.remove(item)
        if entry is not None:
            self.selected.append(Selected(entry, entry.name, "template", entry.load()()))
            self._register(self.selected[-1])

    def many(self, kind: str) -> list[Selected]:
        """The selected components of a kind, in option order."""
        return [c for c in self.selected if c.kind == kind]

    def one(self, kind: str) -> Any:
        """The component of a kind that a job has once; SwiftError where it has none."""
        for item in self.selected:  # asked for every row
            if item.entry.kind == kind:
                return item.component
        raise SwiftError(f"This job has no {kind}; say --{kind} NAME.")

    def call(self, item: Selected, hook: str, **arguments: Any) -> Any:
        """Call one hook on one component only (kinds of which a job has several)."""
        others = [c.component for c in self.selected if c is not item and c.component is not item.component]
        caller = self.plugin_manager.subset_hook_caller(hook, remove_plugins=others)
        return caller(job=self, **arguments)

    @property
    def card(self) -> Any:
        """The model family's card."""
        return self.one("model")

    def changed(self, *, options: Any = None, selected: Sequence[Selected] | None = None) -> PreparedJob:
        """The same job with other options or other components, and a plugin manager of its own."""
        return dataclasses.replace(
            self,
            options=self.options if options is None else options,
            selected=list(self.selected if selected is None else selected),
        )

    def objection(self, feature: str) -> str | None:
        """Why a component of this job does not support a feature, in a sentence; None where none objects."""
        for item in self.selected:
            answer = declared(item.component, Component, "capabilities").get(feature)
            if isinstance(answer, Unsupported):
                return f"{item.entry.title} does not support {feature}: {answer.reason}"
        return None

    def lock(self) -> dict[str, Any]:
        """What made this job: components with versions, and the options that differ from their defaults."""
        return lock_of(self)

    def write_lock(self, folder: str | Path) -> None:
        """Save the lock beside a checkpoint."""
        write_lock(self, folder)

    def say(self, text: str) -> None:
        """A line for the user, on standard error, once per machine."""
        import os

        self.notes.append(text)
        if os.environ.get("RANK", "0") == "0":
            print(text, file=sys.stderr, flush=True)


def _depth_first(selected: list[Selected]) -> list[Selected]:
    """Tuners that change the model's depth (`reshapes`) before those that name its layers by number."""
    tuners = [c for c in selected if c.kind == "tuner"]
    ordered = iter(sorted(tuners, key=lambda c: not declared(c.component, Tuner, "reshapes")))
    return [next(ordered) if c.kind == "tuner" else c for c in selected]
