"""Format reward: 1 where the whole answer has the wanted form, else 0."""

from __future__ import annotations

import re
from dataclasses import dataclass

from swift_core import hookimpl, option
from swift_core.contract.components import Reward

THINK_ANSWER = r"(?s)<think>(?:(?!</?think>|</?answer>).)*</think>\s*<answer>(?:(?!</?think>|</?answer>).)*</answer>"
"""One thought and one answer in their tags, with nothing but white space around and between them."""


@dataclass(kw_only=True, eq=False)
class Format(Reward):
    """1 where the answer, without white space around it, matches a pattern from end to end, else 0."""

    swift_api = 1

    pattern: re.Pattern[str] = option(
        re.compile(THINK_ANSWER),
        "Regular expression of the whole answer; left out: <think>…</think><answer>…</answer>.",
        aliases=("format_pattern",),
    )

    @hookimpl
    def score(self, completions: list[str]) -> list[float]:
        return [float(self.pattern.fullmatch(text.strip()) is not None) for text in completions]
