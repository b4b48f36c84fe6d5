"""A language model as judge (Zheng et al., arXiv 2306.05685): it reads question and answer and gives a score."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from swift_plugin_serving.remote import OpenAIEngine

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Reward
from swift_core.contract.engine import Request
from swift_core.contract.row import Row

PROMPT = """Judge how good an answer to a question is: right, helpful, complete and clear.

Question:
{question}

Answer:
{answer}

{reference}Give a score from 0 (worthless) to 10 (perfect). End with a line of the form "Score: 7"."""


@dataclass(kw_only=True, eq=False)
class Judge(Reward):
    """A language model behind an OpenAI endpoint scores each answer from 0 to 1; not the one that trains."""

    swift_api = 1

    judge_url: str = option("", "Base address of the judge's OpenAI endpoint, such as http://localhost:8000/v1.")
    judge_model: str | None = option(
        None, "Name of the model that judges; left out, the first that the endpoint lists."
    )
    judge_api_key: str = option("EMPTY", "Key for the endpoint.", secret=True)
    judge_prompt: str = option(
        PROMPT, "What the judge is asked; holds {question}, {answer} and, if wanted, {reference}."
    )
    judge_pattern: re.Pattern[str] = option(
        re.compile(r"(?i)score\W*(\d+(?:\.\d+)?)"),
        "Regular expression whose first group is the score; the last match counts.",
    )
    judge_best: float = option(10.0, "The best score, which becomes a reward of 1.", gt=0)
    judge_parallel: int = option(8, "Answers judged at a time.", ge=1)
    judge_timeout: float = option(120.0, "Seconds to wait for one judgement.", gt=0)
    judge_max_tokens: int = option(512, "Upper bound of a judgement in tokens.", ge=1)
    solution_column: str = option("solution", "Column with a reference answer, shown to the judge where a row has it.")

    @hookimpl
    def score(self, rows: list[Row], completions: list[str]) -> list[float]:
        requests = [self.asked(row, text) for row, text in zip(rows, completions, strict=True)]
        replies = self.engine().generate(requests)
        return [self.read(row, reply.text) for row, reply in zip(rows, replies, strict=True)]

    def engine(self) -> OpenAIEngine:
        """The judge. Raises SwiftError where --judge_url is missing."""
        if not self.judge_url:
            raise SwiftError("The reward judge needs --judge_url, the address of an OpenAI endpoint.")
        key, url = self.judge_api_key, self.judge_url
        return OpenAIEngine(url, key, self.judge_model, self.judge_parallel, self.judge_timeout)

    def asked(self, row: Row, text: str) -> Request:
        """What the judge is asked of one answer. Greedy: the same answer gets the same score."""
        solution = row.extra.get(self.solution_column)
        parts: dict[str, Any] = {
            "{question}": "\n\n".join(
                str(m.get("content") or "") for m in row.prompt().messages if m["role"] != "system"
            ),
            "{answer}": text,
            "{reference}": f"A right answer for comparison:\n{solution}\n\n" if solution is not None else "",
        }
        filled = re.sub(r"\{(?:question|answer|reference)\}", lambda m: parts[m[0]], self.judge_prompt)
        said = [{"role": "user", "content": filled}]
        return Request.of(said, max_new_tokens=self.judge_max_tokens, where=row.where)

    def read(self, row: Row, text: str) -> float:
        """The score in a judgement as a reward from 0 to 1; SwiftError where there is none."""
        scores = self.judge_pattern.findall(text)
        if not scores:
            raise SwiftError(
                f"{row.where}: the judge gave no score: {text[-200:]!r}. Adapt --judge_prompt or --judge_pattern."
            )
        return min(1.0, max(0.0, float(scores[-1]) / self.judge_best))
