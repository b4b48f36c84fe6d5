"""Multiple choice: the columns id, question, A, B, …, answer, and accuracy."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError
from swift_core.contract.engine import Reply, Request
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.load import convert_all
from swift_core.data.readers import read_file
from swift_core.evaluation.metrics import tokens
from swift_core.evaluation.reports import answer_all, mean, write_results
from swift_core.evaluation.sets import EvalSet, dev_file
from swift_plugin_csv.qa import after_thinking

PROMPT = """Answer the question with the letter of the right choice alone ({letters}).

{question}
{choices}"""
LINE = "{letter}. {text}"

OPENING = r"[\s*_(（\[{\"'“「]*"
MARKED = "|".join(
    (
        r"(?i:\banswer\s*(?:is|:|：)|\boption|\bchoose)",
        r"答案\s*(?:是|为|应为|:|：)?",
        r"选(?:择|项)?\s*(?:是|为|:|：)?",
        r"\\boxed",
    )
)


@dataclass(frozen=True)
class Form:
    """How a question is written. prompt: of {question}, {choices} and {letters}. line: of {letter} and {text}."""

    prompt: str
    line: str

    def write(self, question: Question) -> str:
        """The question as the model sees it; SwiftError for a form that leaves something out or knows too much."""
        try:
            listed = "\n".join(self.line.format(letter=k, text=v) for k, v in question.choices.items())
            return self.prompt.format(question=question.text, choices=listed, letters=",".join(question.choices))
        except (KeyError, IndexError, ValueError) as error:
            raise SwiftError(
                "--choice_prompt is written with {question}, {choices} and {letters}, --choice_line with {letter} and "
                f"{{text}}; something else stands there: {error}."
            ) from None

    def check(self) -> Form:
        """The form itself, which must hold the question, every letter and every choice.

        Raises SwiftError where one is missing.
        """
        written = self.write(Question("\0q", {"\0l": "\0c"}, "", ""))
        if not all(part in written for part in ("\0q", "\0l", "\0c")):
            raise SwiftError("--choice_prompt must hold {question} and {choices}, --choice_line {letter} and {text}.")
        return self


@dataclass(frozen=True)
class Question:
    """One row. choices: letter → text, A first. answer: the right letter."""

    text: str
    choices: dict[str, str]
    answer: str
    where: str


@dataclass(frozen=True)
class ChoiceSet:
    """The questions of one data set, with the examples shown before each."""

    name: str
    questions: list[Question]
    shots: list[Question]
    form: Form

    def measure(self, job: Job, engine: Any) -> dict[str, Any]:
        """Ask every question; accuracy, and the share of answers in which no letter was found."""
        before = [m for shot in self.shots for m in _turns(shot, self.form)]
        asked = [Row([*before, *_turns(q, self.form)], where=q.where) for q in self.questions]
        requests, replies = answer_all(job, engine, asked, self.name)
        rows = [_result(*triple) for triple in zip(self.questions, requests, replies, strict=True)]
        metrics = {"accuracy": mean(r["right"] for r in rows), "unanswered": mean(r["picked"] is None for r in rows)}
        return {
            "name": self.name,
            "metrics": metrics,
            "rows": len(rows),
            "file": write_results(job, "csv", self.name, rows),
        }


def read(job: Job, eval_set: EvalSet, raw: Iterable[dict[str, Any]], num_shots: int, form: Form) -> ChoiceSet:
    """The questions of a data set; SwiftError with file:line for a row that cannot be asked or scored."""
    renamed = job.options.columns
    questions = convert_all(job, eval_set.source_of_rows, raw, lambda row: as_question(row, renamed))
    shots = [as_question(row, renamed) for row in read_file(dev_file(eval_set))] if num_shots else []
    if len(shots) < num_shots:
        raise SwiftError(f"--num_shots {num_shots}, but {dev_file(eval_set)} holds {len(shots)} examples.")
    return ChoiceSet(eval_set.name, questions[: job.options.eval_limit], shots[:num_shots], form.check())


def as_question(raw: dict[str, Any], renamed: dict[str, str]) -> Question:
    """One row as a question: at least two choices from A on without a gap, and an answer among them.

    Raises SwiftError, with the row's place, otherwise.
    """
    row = {renamed.get(name, name): value for name, value in raw.items()}
    where = row["_where"]
    letters = [letter for letter in string.ascii_uppercase if row.get(letter) not in (None, "")]
    if len(letters) < 2 or letters != list(string.ascii_uppercase[: len(letters)]):
        raise SwiftError(f"{where}: the choices must fill the columns A, B … without a gap, found {letters}.")
    answer = str(row.get("answer") or "").strip(" ().").upper()
    if answer not in letters:
        raise SwiftError(f"{where}: the answer must be one of {', '.join(letters)}, found {row.get('answer')!r}.")
    if not str(row.get("question") or "").strip():
        raise SwiftError(f"{where}: the question is empty.")
    return Question(str(row["question"]), {letter: str(row[letter]) for letter in letters}, answer, where)


def pick(text: str, choices: dict[str, str]) -> str | None:
    """The letter that an answer chooses, or None. Thinking (`… </think>`) does not count. In this order:

    1. the last letter behind a mark: `answer is B`, `ANSWER: (B)`, `答案：B`, `故选B`, `\\boxed{B}`;
    2. a letter that opens the answer and stands alone: `B`, `b`, `(B) Paris`, `B. Paris`;
    3. the one letter that stands alone anywhere (`A` and `I` as English words aside);
    4. the one choice whose text stands in the answer.
    """
    text, letters = after_thinking(text).strip(), "".join(choices)
    marked = re.findall(rf"(?:{MARKED}){OPENING}([{letters}])(?![A-Za-z0-9])", text)
    if marked:
        return str(marked[-1])
    opening = re.match(rf"{OPENING}([{letters}])[\s*_]*(?:$|[.:：,，)）\]、。\n])", text)
    if opening:
        return opening[1]
    if text.upper() in choices:
        return text.upper()
    alone = set(re.findall(rf"(?<![A-Za-z0-9])(?![AI]\s+(?!or\b|and\b)[a-z])([{letters}])(?![A-Za-z0-9'’])", text))
    return alone.pop() if len(alone) == 1 else _pick_by_text(text, choices)


def _pick_by_text(text: str, choices: dict[str, str]) -> str | None:
    said = f" {' '.join(tokens(text))} "
    named = {letter: f" {' '.join(tokens(choice))} " for letter, choice in choices.items()}
    present = {letter: words for letter, words in named.items() if words.strip() and words in said}
    longest = [a for a, words in present.items() if not any(words in o and words != o for o in present.values())]
    return longest[0] if len(longest) == 1 else None


def _turns(question: Question, form: Form) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": form.write(question)},
        {"role": "assistant", "content": question.answer},
    ]


def _result(question: Question, request: Request, reply: Reply) -> dict[str, Any]:
    picked = pick(reply.text, question.choices)
    return {
        "where": question.where,
        "question": question.text,
        "prompt": request.row.messages,
        "answer": reply.text,
        "picked": picked,
        "gold": question.answer,
        "right": picked == question.answer,
    }
