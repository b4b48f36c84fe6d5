"""What a component of each kind may declare beside its hooks."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Requirements:
    """What an isolated environment holds: packages to install, then packages to take out again.

    before: what must be there already when packages of `install` are built.
    """

    install: tuple[str, ...]
    remove: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
