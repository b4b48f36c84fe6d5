"""A recipe: one whole job as data, with values that are known to be sound."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar


@dataclass(frozen=True, kw_only=True, eq=False)
class Recipe:
    """A job that can be run as it stands, or with options on top.

    name: how `swift recipes run` calls it. summary: one line. job: the command, `sft`, `rlhf`, `deploy` … task: what
    the result is for, in a word or two: chat, preference, mathematics, OCR … hardware: what it is meant for; empty
    where nobody counted. notes: what else a user must know. needs: options that whoever runs it has to say, since only
    they can know them: a trained checkpoint, for instance. options: those of the job, as a job file holds them.
    text: the same as YAML, with its comments: a job file that `--config` reads. file: where the recipe stands.
    """

    swift_api: ClassVar[int] = 1

    name: str
    job: str
    summary: str = ""
    task: str = ""
    hardware: str = ""
    notes: str = ""
    needs: tuple[str, ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    file: str = ""

    @property
    def model(self) -> str:
        """The checkpoint that it is written for; empty where whoever runs it says one."""
        return str(self.options.get("model", ""))
