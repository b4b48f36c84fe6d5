"""The judge over real HTTP: a tiny model that was taught to judge, behind this project's own server."""

from __future__ import annotations

import re

import pytest
from swift_plugin_judge_reward import PROMPT, Judge
from swift_plugin_serving.server import running_server
from swift_testing.contracts import ComponentContract
from swift_testing.serving import taught_qwen2

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

RIGHT, WRONG = "What is 2+2?", "Say hello."  # what the taught model answers: "It is 4." and "Hello, world!"


def row(question=RIGHT, **columns):
    return Row(
        [{"role": "system", "content": "S"}, {"role": "user", "content": question}], extra=columns, where="q.jsonl:3"
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The address of a server with the taught model, which says "It is 4." when it is asked for 2+2."""
    model = taught_qwen2(tmp_path_factory.mktemp("judge"), steps=100)
    told = {"model": model, "device": "cpu", "template": "chatml"}
    job = prepare("infer", [Given(k, v, "test") for k, v in told.items()])
    engine = job.hook.start_engine(job=job)
    with running_server(engine) as address:
        yield address
    engine.close()


@pytest.fixture
def judge(url):
    return Judge(judge_url=url, judge_prompt="{answer}", judge_max_tokens=20, judge_pattern=re.compile(r"is (\d)"))


def test_the_score_comes_from_the_judge(judge):
    assert judge.score(rows=[row(), row()], completions=[RIGHT, RIGHT]) == [0.4, 0.4]


def test_a_judgement_without_a_score_names_the_row(judge):
    with pytest.raises(SwiftError, match=r"q\.jsonl:3: the judge gave no score: 'Hello, world!'"):
        judge.score(rows=[row()], completions=[WRONG])


def test_the_judge_reads_question_answer_and_reference():
    asked = Judge().asked(row("Why {answer}?", solution="B"), "Because {question}.").row.messages[0]["content"]
    assert asked.startswith(PROMPT.partition("{question}")[0])
    assert "Question:\nWhy {answer}?\n" in asked and "Answer:\nBecause {question}.\n" in asked
    assert "A right answer for comparison:\nB\n" in asked and "S\n" not in asked
    assert "comparison" not in Judge().asked(row(), "x").row.messages[0]["content"]


@pytest.mark.parametrize(
    ("text", "reward"),
    [("Fine.\nScore: 7", 0.7), ("score 3 … no, **Score**: 4.5", 0.45), ("Score: 12", 1.0), ("Score: 0", 0)],
)
def test_the_last_score_counts_and_stays_between_0_and_1(text, reward):
    assert Judge().read(row(), text) == pytest.approx(reward)


def test_without_an_address_it_says_what_to_do():
    with pytest.raises(SwiftError, match="needs --judge_url"):
        Judge().score(rows=[row()], completions=["x"])


def test_a_judge_that_is_not_there_is_said():
    with pytest.raises(SwiftError, match=r"127\.0\.0\.1"):
        Judge(judge_url="http://127.0.0.1:9/v1", judge_timeout=2).score(rows=[row()], completions=["x"])


class TestJudge(ComponentContract):
    """It loads, and says what it is and takes."""

    kind, name = "reward", "judge"
