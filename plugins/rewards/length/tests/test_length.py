"""Rewards of length, on examples worked by hand."""

from __future__ import annotations

import pytest
from swift_plugin_length_rewards import Cosine, Repetition, SoftOverlong
from swift_testing import RewardContract
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.evaluation.rewards import score_all
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


class TestSoftOverlong(RewardContract):
    name = "soft_overlong"
    options = {"length_unit": "characters", "overlong_max_length": 20, "overlong_cache": 10}
    better, worse = "short", "a rather long answer"


class TestRepetition(RewardContract):
    name = "repetition"
    better, worse = "one two three four", "one two three one two three"


@pytest.mark.parametrize(("length", "reward"), [(0, 0), (12, 0), (14, -0.25), (16, -0.5), (20, -1), (30, -1)])
def test_overlong_falls_over_the_cache(length, reward):
    component = SoftOverlong(overlong_max_length=20, overlong_cache=8, length_unit="characters")
    assert component.score(job=None, completions=["x" * length]) == [reward]


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("a b c d", 0),  # abc bcd
        ("a b c a b c", -1 / 4),  # abc bca cab abc
        ("no no no no no", -2 / 3),  # three times the same
        ("a b", 0),
        ("", 0),
        ("好好好好", -1 / 2),
    ],
)
def test_repetition_counts_ngrams_that_were_there_before(text, reward):
    assert Repetition().score(completions=[text])[0] == pytest.approx(reward)


@pytest.mark.parametrize(
    ("right", "length", "reward"),
    [
        (True, 0, 1.0),
        (True, 25, 0.5 + 0.25 * (1 + 2**-0.5)),
        (True, 50, 0.75),
        (True, 100, 0.5),
        (True, 400, 0.5),
        (False, 0, -0.5),
        (False, 50, -0.25),
        (False, 100, 0.0),
    ],
)
def test_cosine_between_short_and_long(right, length, reward):
    assert Cosine(cosine_max_length=100).value(right, length) == pytest.approx(reward)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("model"))


def job_for(model, **options):
    told = {"model": model, "dataset": [], "device": "cpu", **options}
    return prepare("rlhf", [Given(k, v, "test") for k, v in told.items() if v != []])


def test_cosine_asks_the_accuracy_of_the_same_job(model):
    job = job_for(model, reward=["accuracy", "cosine"], length_unit="characters", cosine_max_length=10)
    rows = [Row([{"role": "user", "content": "?"}], extra={"solution": "3"})] * 3
    scores = score_all(job, rows, ["3", "4", "3" + " " * 20])
    assert [s[0] for s in scores] == [1, 0, 1]
    short, wrong, long = (s[1] for s in scores)
    assert short > 0.95 and wrong < -0.45 and long == 0.5


def test_cosine_without_another_reward_says_what_to_do(model):
    job = job_for(model, reward=["cosine"])
    with pytest.raises(SwiftError, match="add --reward accuracy"):
        score_all(job, [Row([])], ["x"])


def test_lengths_are_counted_in_tokens_of_the_model(model):
    from transformers import AutoTokenizer

    job = job_for(model, reward=["soft_overlong"], overlong_max_length=8, overlong_cache=8)
    text = "Hello, world! 你好"
    count = len(AutoTokenizer.from_pretrained(model)(text)["input_ids"])
    assert score_all(job, [Row([])], [text]) == [[-min(1.0, count / 8)]]
