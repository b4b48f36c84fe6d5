"""The accuracy reward on answers as models write them."""

from __future__ import annotations

import threading

import pytest
from swift_plugin_accuracy import Accuracy, final_answer
from swift_testing import RewardContract

from swift_core import SwiftError
from swift_core.contract.row import Row


class TestContract(RewardContract):
    """One finite number per completion, and more for the right one."""

    name = "accuracy"
    row = {"query": "1 + 2?", "solution": "3"}
    better, worse = "The answer is 3.", "The answer is 4."


def row(solution: str | None = None, answer: str = "") -> Row:
    """A question whose right answer stands in a column or in the conversation."""
    messages = [{"role": "user", "content": "?"}] + [{"role": "assistant", "content": answer}] * bool(answer)
    return Row(messages=messages, extra={} if solution is None else {"solution": solution}, where="q.jsonl:3")


CASES = [
    ("auto", "42", "The answer is 42.", 1),
    ("auto", "42", "42 is wrong, it is 43", 0),
    ("auto", "1,234", "1234.0", 1),
    ("auto", "3/4", "so 0.75", 1),
    ("auto", "-3", "2024-3", 0),
    ("auto", "0.1", "1e-1", 1),
    ("auto", "so it is\n#### 72", "9 * 8 = 72", 1),
    ("auto", "B", "Either A or C, no: (B).", 1),
    ("auto", "B", "I say A", 0),
    ("auto", "(C)", "<think>B?</think><answer> C </answer>", 1),
    ("auto", "twenty-one", "<answer>twenty-one\n</answer>", 1),
    ("auto", "twenty-one", "twenty-two", 0),
    ("auto", r"\frac{1}{2}", r"hence \boxed{\frac{2}{4}}", 1),
    ("auto", r"x^2+2x+1", r"\boxed{(x+1)^2}", 1),
    ("auto", r"\sqrt{2}", r"\boxed{\sqrt{3}}", 0),
    ("auto", "42", "", 0),
    ("exact", "New  York", " New York ", 1),
    ("exact", "New York", "new york", 0),
    ("number", "about 7 apples", "7.00", 1),
    ("choice", "The answer is D", "D", 1),
    ("math", "10", r"\boxed{2 \cdot 5}", 1),
]


@pytest.mark.parametrize(("how", "solution", "completion", "reward"), CASES)
def test_final_answers(how: str, solution: str, completion: str, reward: int) -> None:
    assert Accuracy(how=how).score(rows=[row(solution)], completions=[completion]) == [float(reward)]


def test_the_last_marked_answer_counts() -> None:
    assert final_answer("<answer>1</answer> no <answer>2</answer>") == "2"
    assert final_answer(r"\boxed{1} then \boxed{\frac{1}{2}} done") == r"\frac{1}{2}"
    assert final_answer(r"\boxed{never closed") == r"\boxed{never closed"


def test_solution_column_wins_over_the_rows_own_answer() -> None:
    both = Row(messages=row(answer="5").messages, extra={"solution": 6})
    assert Accuracy().score(rows=[both, row(answer="5")], completions=["6", "5"]) == [1.0, 1.0]


def test_a_row_without_a_right_answer_is_named() -> None:
    with pytest.raises(SwiftError, match=r"q.jsonl:3: accuracy needs the right answer, in a column 'solution'"):
        Accuracy().score(rows=[row()], completions=["x"])
    with pytest.raises(SwiftError, match="holds no number"):
        Accuracy(how="number").score(rows=[row("none")], completions=["1"])


def test_mathematics_in_a_worker_thread() -> None:
    """Where no signal can end a slow comparison, it still compares."""
    found: list[float] = []
    job = threading.Thread(target=lambda: found.extend(Accuracy().score([row("x+x")], ["2x"])))
    job.start()
    job.join()
    assert found == [1.0]
