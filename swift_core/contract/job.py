"""The running job as every hook sees it. `swift_core.job.job.PreparedJob` is the one implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing import Self


class Installed(Protocol):
    """An installed component, as the catalogue knows it: nothing of it is imported before `load`."""

    @property
    def kind(self) -> str:
        """What it is: tuner, template …"""

    @property
    def name(self) -> str:
        """The name of its entry point."""

    @property
    def package(self) -> str:
        """The distribution that brings it."""

    @property
    def version(self) -> str:
        """That distribution's version."""

    @property
    def title(self) -> str:
        """Kind, name, package and version, for messages."""

    def load(self) -> Any:
        """Import it. SwiftError where it cannot be imported or does not keep the contract."""


class Selected(Protocol):
    """One component of a job.

    label: the name its user gave it, `first` in `first=lora`. why: who selected it. component: the instance whose
    hooks are called. folder: the checkpoint that it goes on from. saved: the options it had there. adapter: the
    name of the `--adapters` folder that it comes from; several tuners may make one adapter.
    """

    label: str
    why: str
    component: Any
    folder: str | None
    saved: dict[str, Any]
    adapter: str | None

    @property
    def entry(self) -> Installed:
        """Where it comes from."""

    @property
    def kind(self) -> str:
        """The entry's kind."""


class Spec(Protocol):
    """What `swift JOB` is: name, and values of options that differ from the options' own defaults."""

    @property
    def name(self) -> str:
        """The command."""

    @property
    def module(self) -> str:
        """Where the job's script stands."""

    @property
    def defaults(self) -> dict[str, Any]:
        """Values of options that differ from the options' own defaults."""

    def runner(self) -> Callable[[Any], Any]:
        """The function that does the work, given a prepared job."""


class Job(Protocol):
    """A prepared job.

    options: the job's own options, checked. sources: who set an option, by its name. notes: the lines that `say`
    printed. given: what the user said, as `swift_core.job.options.Given`. memo: what is computed once for the life
    of the job, under a key of whoever computes it. hook: calls a hook on every component of the job:
    `job.hook.decode(job=job, ids=ids, processor=processor)`.
    """

    options: Any
    sources: dict[str, str]
    notes: list[str]
    given: list[Any]
    memo: dict[Any, Any]
    hook: Any

    @property
    def spec(self) -> Spec:
        """The kind of job: sft, infer …"""

    @property
    def selected(self) -> Sequence[Selected]:
        """Every component of the job, in option order."""

    @property
    def card(self) -> Any:
        """The model family's card."""

    def many(self, kind: str) -> Sequence[Selected]:
        """The components of a kind, in option order."""

    def one(self, kind: str) -> Any:
        """The component of a kind that a job has once. SwiftError where it has none."""

    def call(self, item: Any, hook: str, **arguments: Any) -> Any:
        """Call one hook on one selected component only."""

    def replace(self, item: Any, entry: Any, component: Any) -> None:
        """Put another component in the place of a selected one; the job's hooks are then the new one's."""

    def put(self, kind: str, entry: Any) -> None:
        """Let the component of a kind that a job has once be `entry`, with its default options; None: let it go."""

    def objection(self, feature: str) -> str | None:
        """Why a component does not support a feature, in a sentence; None where none objects."""

    def changed(self, *, options: Any = None, selected: Sequence[Any] | None = None) -> Self:
        """The same job with other options or other components, and a plugin manager of its own."""

    def run(self) -> Any:
        """Do the job; what it returns. Raises SwiftError for what its user can mend, a full disk among it."""

    def lock(self) -> dict[str, Any]:
        """What made this job: components with versions, and options."""

    def write_lock(self, folder: str | Path) -> None:
        """Save the lock beside a checkpoint."""

    def say(self, text: str) -> None:
        """A line for the user, on standard error, once per machine."""
