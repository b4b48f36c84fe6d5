"""Accuracy reward: 1 where the final answer of a completion is right, else 0.

The right answer is the row's `solution` column, or, where there is none, the row's own last answer.

The *final answer* of a text, of a solution and of a completion alike, is what stands in its last
`<answer>…</answer>`, else in its last `\\boxed{…}`, else behind its last `####`, else the whole text.

How two final answers are compared:

- exact: equal after white space at the ends is removed and inner white space made single; case counts.
- number: the last number in each is the same value. A number is digits with an optional sign, decimal point
  or exponent, or a fraction a/b; commas may group thousands. Values are compared exactly, so 0.5 = 1/2.
- choice: the last capital letter A to Z that stands by itself in each is the same. "(B)", "B." and
  "The answer is B" all choose B.
- math: math-verify finds the two expressions equal (LaTeX or plain); equal texts are equal too.
- auto: choice where the right answer is one capital letter, number where it is a number, else exact or math.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from swift_core import SwiftError, hookimpl, option
from swift_core.contract.components import Reward
from swift_core.contract.row import Row

NUMBER = re.compile(r"(?:(?<!\w)[-+])?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|(?<!\d)\.\d+)(?:[eE][-+]?\d+)?")
CHOICE = re.compile(r"(?<![A-Za-z'’])[A-Z](?![A-Za-z'’])")


@dataclass(kw_only=True, eq=False)
class Accuracy(Reward):
    """1 where the final answer is right, else 0; compares choices, numbers, mathematics or exact text."""

    swift_api = 1
    in_main_thread = True  # where math-verify's time-out, a signal, can end a comparison

    how: Literal["auto", "exact", "number", "choice", "math"] = option("auto", "How answers are compared.")
    solution_column: str = option("solution", "Column that holds the right answer; without it, the row's own answer.")

    @hookimpl
    def score(self, rows: list[Row], completions: list[str]) -> list[float]:
        return [float(self.right(self.solution(r), text)) for r, text in zip(rows, completions, strict=True)]

    def solution(self, row: Row) -> str:
        """The right answer to a row; SwiftError where it has none."""
        column = row.extra.get(self.solution_column)
        text = row.answer if column is None else str(column)
        if not text.strip():
            raise SwiftError(f"{row.where}: accuracy needs the right answer, in a column {self.solution_column!r}.")
        return final_answer(text)

    def right(self, solution: str, completion: str) -> bool:
        """Whether a completion ends in the solution."""
        how = kind_of(solution) if self.how == "auto" else self.how
        return COMPARE[how](solution, final_answer(completion))


def final_answer(text: str) -> str:
    """The part of a text that counts as its answer, by the rules of this module."""
    tagged = re.findall(r"(?s)<answer>(.*?)</answer>", text)
    if tagged:
        text = tagged[-1]
    boxed = _last_boxed(text)
    if boxed is not None:
        return boxed.strip()
    return text.rpartition("####")[2].strip()


def _last_boxed(text: str) -> str | None:
    """What stands in the last \\boxed{…}, whose braces may nest; None where there is no closed one."""
    _, mark, rest = text.rpartition("\\boxed{")
    depth = 1
    for place, letter in enumerate(rest if mark else ""):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if depth == 0:
            return rest[:place]
    return None


def kind_of(solution: str) -> str:
    """How a solution asks to be compared: choice, number or math."""
    if re.fullmatch(r"\(?[A-Z]\)?\.?", solution):
        return "choice"
    return "number" if re.fullmatch(r"[-+\d.,eE/\s]+", solution) and last_number(solution) is not None else "math"


def last_number(text: str) -> Fraction | None:
    """The value of the last number in a text, exactly; a/b is one number."""
    numbers = list(NUMBER.finditer(text))
    if not numbers:
        return None
    value = _value(numbers[-1].group())
    if len(numbers) > 1 and re.fullmatch(r"\s*/\s*", text[numbers[-2].end() : numbers[-1].start()]) and value:
        return _value(numbers[-2].group()) / value
    return value


def _value(digits: str) -> Fraction:
    return Fraction(digits.replace(",", ""))


def same_text(solution: str, answer: str) -> bool:
    """Equal up to white space."""
    return solution.split() == answer.split()


def same_number(solution: str, answer: str) -> bool:
    """The last numbers are the same value; SwiftError where the solution holds none."""
    wanted = last_number(solution)
    if wanted is None:
        raise SwiftError(f"accuracy: the right answer {solution!r} holds no number; choose another --accuracy.how.")
    return wanted == last_number(answer)


def same_choice(solution: str, answer: str) -> bool:
    """The last capital letters that stand alone are the same; SwiftError where the solution holds none."""
    wanted = CHOICE.findall(solution)
    if not wanted:
        raise SwiftError(f"accuracy: the right answer {solution!r} names no letter; choose another --accuracy.how.")
    return wanted[-1:] == CHOICE.findall(answer)[-1:]


def same_mathematics(solution: str, answer: str) -> bool:
    """Equal as text, or equal as expressions for math-verify."""
    if same_text(solution, answer):
        return True
    from math_verify import parse, verify

    # math-verify's time-out is a signal, which only the main thread can receive
    seconds = 5 if threading.current_thread() is threading.main_thread() else None
    wanted, given = (parse(f"${text}$", parsing_timeout=seconds) for text in (solution, answer))
    return bool(wanted and given) and bool(verify(wanted, given, timeout_seconds=seconds))


COMPARE: dict[str, Callable[[str, str], bool]] = {
    "exact": same_text,
    "number": same_number,
    "choice": same_choice,
    "math": same_mathematics,
}
