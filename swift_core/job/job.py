"""One job: options → chosen components → loaded → registered on the job's own hook relay.

Nothing here is global: two jobs in one process do not see each other.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Any

import pluggy

from swift_core.catalogue.entries import Entry
from swift_core.contract import hooks
from swift_core.contract.capability import Unsupported
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.specs import JobSpec

ORDER = (
    "loader dataset template bbox agent loss_scale quantizer patcher tuner optimizer trainer reward launcher "
    "backend server evaluator exporter model"
).split()
"""Registration order. The last registered is asked first, so a family's own hook beats the generic one."""


@dataclass
class Chosen:
    """One component of a job.

    label: the name its user gave it, `first` in `first=lora`. why: who chose it. component: its class until
    the options are known, then its instance. saved: options it had when it wrote the checkpoint `folder`.
    adapter: the name of the `--adapters` folder that it comes from; several tuners may make one adapter.
    """

    entry: Entry
    label: str
    why: str
    component: Any = None
    folder: str | None = None
    saved: dict[str, Any] = field(default_factory=dict)
    adapter: str | None = None

    @property
    def kind(self) -> str:
        """The entry's kind."""
        return self.entry.kind


@dataclass
class Job:
    """A prepared job. `hook` calls the chosen components; `one` and `many` give them by kind.

    memo: what a part of the kernel computes once for the life of the job, under a key of its own. given: what
    the user said, from which another process can prepare the same job.
    """

    spec: JobSpec
    options: Any
    chosen: list[Chosen] = field(default_factory=list)
    sources: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    memo: dict[Any, Any] = field(default_factory=dict, repr=False)
    given: list[Given] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self.chosen = _depth_first(self.chosen)
        self.relay = pluggy.PluginManager("swift_core")
        self.relay.add_hookspecs(hooks)
        self.hook: Any = self.relay.hook
        for item in sorted(self.chosen, key=lambda c: ORDER.index(c.kind)):
            self._register(item)

    def _register(self, item: Chosen) -> None:
        try:
            self.relay.register(item.component, name=f"{item.kind}:{item.label}")
            self.relay.check_pending()
        except pluggy.PluginValidationError as error:
            raise SwiftError(f"{item.entry.title} does not keep the contract: {error}") from None

    def many(self, kind: str) -> list[Chosen]:
        """The chosen components of a kind, in option order."""
        return [c for c in self.chosen if c.kind == kind]

    def one(self, kind: str) -> Any:
        """The component of a kind that a job has once; SwiftError where it has none."""
        found = self.many(kind)
        if not found:
            raise SwiftError(f"This job has no {kind}; say --{kind} NAME.")
        return found[0].component

    def call(self, item: Chosen, hook: str, **arguments: Any) -> Any:
        """Call one hook on one component only (kinds of which a job has several)."""
        others = [c.component for c in self.chosen if c is not item and c.component is not item.component]
        caller = self.relay.subset_hook_caller(hook, remove_plugins=others)
        return caller(job=self, **arguments)

    @property
    def card(self) -> Any:
        """The model family's card."""
        return self.one("model")

    def objection(self, feature: str) -> str | None:
        """Why a component of this job does not support a feature, in a sentence; None where none objects."""
        for item in self.chosen:
            answer = getattr(item.component, "capabilities", {}).get(feature)
            if isinstance(answer, Unsupported):
                return f"{item.entry.title} does not support {feature}: {answer.reason}"
        return None

    def say(self, text: str) -> None:
        """A line for the user, on standard error, once per machine."""
        import os

        self.notes.append(text)
        if os.environ.get("RANK", "0") == "0":
            print(text, file=sys.stderr, flush=True)


def _depth_first(chosen: list[Chosen]) -> list[Chosen]:
    """Tuners that change the model's depth (`reshapes`) before those that name its layers by number."""
    tuners = [c for c in chosen if c.kind == "tuner"]
    ordered = iter(sorted(tuners, key=lambda c: not getattr(c.component, "reshapes", False)))
    return [next(ordered) if c.kind == "tuner" else c for c in chosen]
