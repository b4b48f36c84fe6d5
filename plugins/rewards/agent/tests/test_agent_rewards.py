"""Rewards for agents, on examples worked by hand."""

from __future__ import annotations

import pytest
from swift_plugin_agent_rewards import ReactFormat
from swift_testing import RewardContract

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.evaluation.rewards import score_all

CALL = 'Thought: look\nAction: find\nAction Input: {"city": "Paris", "days": 2}\nObservation:'


class TestReactFormat(RewardContract):
    name = "react_format"
    better, worse = '<think>Hm.</think>\nAction: find\nAction Input: {"a": 1}', "Action: find\nAction Input: {}"


class TestToolBench(RewardContract):
    name = "toolbench"
    options = {"agent": "react"}
    row = {"query": "Where?", "solution": CALL}
    better, worse = CALL, "Final Answer: I do not know."


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>a\nb</think>Action: find\nAction Input: {}", 1),
        ("  <think></think>\n\nAction:find\nAction Input:{}\n", 1),
        ("<think>a</think> so Action: find\nAction Input: {}", 0),
        ("<think>a</think>\nAction: \nAction Input: {}", 0),
        ("<think>a</think>\nAction: find\nAction Input:", 0),
        ("<think>a<think>b</think>\nAction: find\nAction Input: {}", 0),
        ("Final Answer: 7", 0),
    ],
)
def test_the_form_of_a_step(text, reward):
    assert ReactFormat().score(completions=[text]) == [reward]


def reward(text, solution=CALL, **options):
    job = type("Contract", (RewardContract,), {"name": "toolbench", "options": {"agent": "react", **options}})().job()
    row = Row([{"role": "user", "content": "?"}], extra={"solution": solution} if solution else {}, where="q.jsonl:3")
    return score_all(job, [row], [text])[0][0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (CALL, 1.0),
        (CALL.replace("Paris", "Rome"), (1 + 1 / 2) / 2),  # one of two arguments
        (CALL.replace(', "days": 2', ""), (1 + 2 / 3) / 2),  # precision 1, recall 1/2
        (CALL.replace("Action: find", "Action: seek"), 0.0),
        (CALL.replace("Observation:", CALL), (0 + 1 / 2) / 2),  # a second call that nobody asked for
        (CALL.replace("2}", '"2"}'), (1 + 1 / 2) / 2),  # a text is not a number
        ("Final Answer: Paris", 0.0),
    ],
)
def test_calls_are_compared_by_tool_and_arguments(text, value):
    assert reward(text) == pytest.approx(value)


def test_answers_are_compared_by_rouge():
    assert reward("Thought: so\nFinal Answer: It rains in Rome", "Final Answer: It rains in Paris") == pytest.approx(
        0.75
    )
    assert reward(CALL, "Final Answer: It rains") == 0


def test_a_row_without_reference_is_named():
    with pytest.raises(SwiftError, match=r"q\.jsonl:3: toolbench needs a reference"):
        reward("x", solution=None)
