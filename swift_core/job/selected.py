"""A component that a job selected, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from swift_core.catalogue.entries import Entry


@dataclass
class Selected:
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
