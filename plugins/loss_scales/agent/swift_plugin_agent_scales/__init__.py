"""Loss scales for agents: the parts of an answer that call tools count more (arXiv 2408.05517, Table 14).

Each scale is a table: keywords with the weight of the keyword itself and of what follows it up to the next
one, patterns with the weight of what they match, and questions whose whole answer has one weight.

A weight reaches exactly the tokens whose characters it covers. A token that straddles the border of two pieces takes
the larger of their weights, and one that straddles the start of an answer is never made: the text is cut there and both
sides are tokenized by themselves. Packed, padded or alone, a token keeps its weight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from swift_core import hookimpl, option
from swift_core.contract.components import LossScale
from swift_core.data.calls import read_json

Pieces = list[tuple[str, float]]


@dataclass(frozen=True)
class Table:
    """keywords: text → (its weight, weight of what follows). questions: text in it → weight of its whole answer.

    patterns: regex without groups of its own → weight of the match.
    """

    keywords: dict[str, tuple[float, float]] = field(default_factory=dict)
    patterns: dict[str, float] = field(default_factory=dict)
    questions: dict[str, float] = field(default_factory=dict)


@dataclass(kw_only=True, eq=False)
class AgentScale(LossScale):
    """Weighs each answer by a table; everything the table does not name counts 1."""

    swift_api = 1
    table: ClassVar[Table] = Table()

    loss_scale_base: Literal["default", "last_round", "all"] = option(
        "default", "Which turns are trained at all: every answer, the last one, or everything."
    )

    @hookimpl
    def weigh(self, role: str, text: str, last: bool, query: str) -> Pieces:
        if role != "assistant":
            return [(text, float(self.loss_scale_base == "all"))]
        if self.loss_scale_base == "last_round" and not last:
            return [(text, 0.0)]
        for question, weight in self.table.questions.items():
            if question in query:
                return [(text, weight)]
        return by_keywords(text, self.table.keywords) if self.table.keywords else by_patterns(text, self.table.patterns)


def by_keywords(text: str, keywords: dict[str, tuple[float, float]]) -> Pieces:
    """`text` cut at its keywords; JSON arguments stay whole, whatever words stand in their strings."""
    longest_first = sorted(keywords, key=len, reverse=True)
    finder = re.compile("|".join(re.escape(k) for k in longest_first))
    pieces, weight, place, search_from = [], 1.0, 0, 0
    while match := finder.search(text, search_from):
        own, behind = keywords[match[0]]
        pieces += [(text[place : match.start()], weight), (match[0], own)]
        weight, place = behind, match.end()
        search_from = _behind_json(text, place)
    return [p for p in [*pieces, (text[place:], weight)] if p[0]]


def _behind_json(text: str, place: int) -> int:
    start = re.compile(r"\s*(?=\{)").match(text, place)
    pair = read_json(text, start.end()) if start else None
    return pair[1] if pair else place


def by_patterns(text: str, patterns: dict[str, float]) -> Pieces:
    """`text` with every match of a pattern as a piece of its own."""
    finder = re.compile("|".join(f"({p})" for p in patterns), re.DOTALL)
    weights, pieces, place = list(patterns.values()), [], 0
    for match in finder.finditer(text):
        assert match.lastindex is not None  # every pattern is a group
        pieces += [(text[place : match.start()], 1.0), (match[0], weights[match.lastindex - 1])]
        place = match.end()
    return [p for p in [*pieces, (text[place:], 1.0)] if p[0]]


class AgentFlan(AgentScale):
    """Table 14: 3 on names and arguments of calls and on answers to questions about them, 2 on Observation."""

    table = Table(
        keywords={
            "Name:": (1.0, 3.0),
            "Action:": (1.0, 3.0),
            "ACTION:": (1.0, 3.0),
            "Tool:": (1.0, 3.0),
            "Command": (1.0, 3.0),
            "Arguments:": (1.0, 3.0),
            "action input": (1.0, 3.0),
            "ACTION_INPUT:": (1.0, 3.0),
            "Action Input:": (1.0, 3.0),
            "Thought:": (1.0, 1.0),
            "Final Answer:": (1.0, 1.0),
            "Observation:": (2.0, 0.0),
        },
        questions={
            "What is the tool you want to use": 3.0,
            "What are the required parameter names": 3.0,
            "What is the value of": 3.0,
        },
    )


REACT = {
    "Action:": (2.0, 2.0),
    "Action Input:": (2.0, 2.0),
    "Thought:": (1.0, 1.0),
    "Final Answer:": (1.0, 1.0),
    "Observation:": (2.0, 0.0),
}


class React(AgentScale):
    """2 on the actions and inputs of ReAct, 1 on thoughts and answers, 0 on what stands behind Observation."""

    table = Table(keywords=REACT)


class AlphaUmi(AgentScale):
    """As react, and 2 on `Next:`, with which α-UMi's planner (arXiv 2401.07324) calls the next module."""

    table = Table(keywords={**REACT, "Next:": (2.0, 2.0)})


class Qwen(AgentScale):
    """2 on the ✿FUNCTION✿ and ✿ARGS✿ of Qwen's own tool format."""

    table = Table(
        keywords={
            "✿FUNCTION✿:": (2.0, 2.0),
            "✿ARGS✿:": (2.0, 2.0),
            "✿RETURN✿:": (1.0, 1.0),
            "✿RESULT✿:": (2.0, 0.0),
        }
    )


class Hermes(AgentScale):
    """2 on everything inside and including <tool_call> tags."""

    table = Table(patterns={r"<tool_call>.+?</tool_call>": 2.0})


class IgnoreThinkPrefix(AgentScale):
    """0 on the <think> that opens an answer, which the prompt of thinking models already holds."""

    table = Table(patterns={r"^<think>\n?": 0.0})


class IgnoreEmptyThink(AgentScale):
    """0 on an empty chain of thought at the start of an answer, so that thinking is not unlearnt."""

    table = Table(
        patterns={
            r"^<think>\s*</think>\s*": 0.0,
            r"^<seed:think><seed:cot_budget_reflect>The current thinking budget is 0, so I will directly start "
            r"answering the question\.</seed:cot_budget_reflect>\n</seed:think>\s*": 0.0,
            r"^</think>\s*": 0.0,
            r"^<\|channel>thought\n<channel\|>": 0.0,
            r"^</mm:think>\s*": 0.0,
        }
    )
