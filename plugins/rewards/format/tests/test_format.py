"""The format reward: the default form, a form of one's own, and a pattern that is none."""

from __future__ import annotations

import pytest
from swift_plugin_format_reward import Format
from swift_testing import RewardContract

from swift_core import SwiftError
from swift_core.job.options import build


class TestContract(RewardContract):
    """One finite number per completion, and more for the right form."""

    name = "format"
    better, worse = "<think>1 and 2</think><answer>3</answer>", "3"


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>so\nand so</think><answer>4</answer>", 1),
        ("\n<think>a</think>\n\n<answer>b\nc</answer>\n", 1),
        ("<think>a</think> then <answer>b</answer>", 0),
        ("<answer>b</answer>", 0),
        ("<think>a<think>b</think></think><answer>b</answer>", 0),
        ("<think>a</think><answer>b</answer><answer>c</answer>", 0),
        ("<think>a</think><answer>b</answer>.", 0),
        ("", 0),
    ],
)
def test_thought_and_answer_in_their_tags(text: str, reward: int) -> None:
    assert Format().score(completions=[text]) == [float(reward)]


def test_a_pattern_of_ones_own_must_match_from_end_to_end() -> None:
    reward = build(Format, {"pattern": r"\d+"}, "reward format")
    assert reward.score(completions=["12", " 12 ", "12 apples"]) == [1.0, 1.0, 0.0]


def test_a_pattern_that_is_none_is_refused() -> None:
    with pytest.raises(SwiftError, match="pattern"):
        build(Format, {"pattern": "("}, "reward format")
