"""Asking rewards: side by side, each checked, and what goes wrong is said with reward and row."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import pytest

from swift_core import SwiftError, hookimpl
from swift_core.contract.row import Row
from swift_core.evaluation.rewards import score_all
from swift_core.job.job import PreparedJob
from swift_core.job.selected import Selected
from swift_core.job.specs import find_job

ROWS = [Row([{"role": "user", "content": "?"}], where=f"q.jsonl:{n}") for n in (1, 2)]


class Gives:
    """A reward that gives what it is told to."""

    swift_api = 1

    def __init__(self, give):
        self.give = give

    @hookimpl
    def score(self, rows, completions):
        return self.give(rows, completions)


def ask(*components, timeout=0.0, rows=ROWS):
    entry = SimpleNamespace(kind="reward", name="mine", title="mine")
    chosen = [Selected(entry, f"r{n}", "test", component) for n, component in enumerate(components)]
    job = PreparedJob(find_job("sample"), SimpleNamespace(reward_timeout=timeout), chosen)
    return score_all(job, rows, ["a", "bb"])


def test_a_row_of_values_per_completion_in_option_order():
    lengths, ones = Gives(lambda r, c: [len(t) for t in c]), Gives(lambda r, c: [1.0 for _ in c])
    assert ask(lengths, ones) == [[1.0, 1.0], [2.0, 1.0]]


def test_a_reward_may_abstain():
    assert ask(Gives(lambda r, c: [None, 0.5]), Gives(lambda r, c: [1, None])) == [[None, 1.0], [0.5, None]]


def test_rewards_work_at_the_same_time():
    """Each waits for the other: one after the other, neither would ever be done."""
    meet = threading.Barrier(2)

    def together(rows, completions):
        meet.wait(30)
        return [0.0, 0.0]

    assert ask(Gives(together), Gives(together)) == [[0.0, 0.0]] * 2


def test_a_reward_that_asks_for_the_main_thread_gets_it():
    reward = Gives(lambda r, c: [float(threading.current_thread() is threading.main_thread())] * 2)
    assert ask(reward) == [[0.0], [0.0]]
    reward.in_main_thread = True
    assert ask(reward) == [[1.0], [1.0]]


def raise_on_second(rows, completions):
    if rows[-1].where == "q.jsonl:2":
        raise ValueError("no such column")
    return [0.0]


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda r, c: [1.0], r"reward r0: 1 values for 2 answers, the first to q\.jsonl:1"),
        (lambda r, c: 1.0, r"reward r0: float for 2 answers"),
        (lambda r, c: [0.0, float("nan")], r"reward r0: gave nan for q\.jsonl:2"),
        (lambda r, c: [float("inf"), 0.0], r"reward r0: gave inf for q\.jsonl:1"),
        (lambda r, c: ["good", 0.0], r"reward r0: gave 'good' for q\.jsonl:1; .* or None to abstain"),
        (lambda r, c: None, r"reward r0: NoneType for 2 answers"),
        (raise_on_second, r"reward r0 failed on q\.jsonl:2: ValueError: no such column"),
    ],
)
def test_what_is_wrong_is_said_with_reward_and_row(give, words):
    with pytest.raises(SwiftError, match=words):
        ask(Gives(give))


def test_a_reward_that_hangs_is_named():
    never = threading.Event()
    try:
        with pytest.raises(SwiftError, match=r"reward r1: not done after 0.2 seconds.*q\.jsonl:1 to q\.jsonl:2"):
            ask(Gives(lambda r, c: [0.0, 0.0]), Gives(lambda r, c: never.wait(60)), timeout=0.2)
    finally:
        never.set()


def test_without_a_reward_it_says_what_to_do():
    with pytest.raises(SwiftError, match="Say --reward"):
        ask()
