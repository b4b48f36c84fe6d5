"""Which turns are trained: every answer, the last answer alone, or everything."""

from __future__ import annotations

from dataclasses import dataclass

from swift_core import hookimpl
from swift_core.contract.components import LossScale


@dataclass(kw_only=True, eq=False)
class Default(LossScale):
    """Every answer of the assistant counts 1, nothing else counts."""

    swift_api = 1

    @hookimpl
    def weigh(self, role: str, text: str) -> list[tuple[str, float]]:
        return [(text, float(role == "assistant"))]


@dataclass(kw_only=True, eq=False)
class LastRound(LossScale):
    """The last answer counts 1, nothing else counts."""

    swift_api = 1

    @hookimpl
    def weigh(self, role: str, text: str, last: bool) -> list[tuple[str, float]]:
        return [(text, float(role == "assistant" and last))]


@dataclass(kw_only=True, eq=False)
class All(LossScale):
    """Every token counts 1: system, questions, headers and answers."""

    swift_api = 1

    @hookimpl
    def weigh(self, text: str) -> list[tuple[str, float]]:
        return [(text, 1.0)]
