"""Reading, asking and scoring of the csv evaluator; the whole way with a model is in tests/test_evaluate.py."""

from __future__ import annotations

import pytest
from swift_plugin_csv.choice import LINE, PROMPT, Form, as_question, pick

from swift_core import SwiftError
from swift_core.contract.source import Source
from swift_core.evaluation.sets import EvalSet, form_of
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

CITIES = {"A": "Paris", "B": "York", "C": "New York", "D": "London"}


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        (" (B)", "B"),
        ("B. York", "B"),
        ("**B**", "B"),
        ("B) because of the wall", "B"),
        ("The answer is B", "B"),
        ("The answer is (B), not A.", "B"),
        ("A is wrong, C is wrong, so the answer: B", "B"),
        ("First ANSWER: A\nWait.\nANSWER: D", "D"),
        (r"Therefore \boxed{C}.", "C"),
        ("答案：B", "B"),
        ("答案是 C。", "C"),
        ("经过分析,故选D", "D"),
        ("应该选择B项", "B"),
        ("<think>A? No, the answer is A.</think>\nC", "C"),
        ("It must be C in my view", "C"),
        ("A city in England: London", "D"),
        ("The capital is Paris.", "A"),
        ("I would say New York", "C"),  # York is part of it
        ("York", "B"),
        ("A or B", None),
        ("Berlin", None),
        ("", None),
        ("The answer is a city", None),
        ("Because", None),
        ("E", None),
        ("Paris or London", None),
    ],
)
def test_letter_is_found(text, letter):
    assert pick(text, CITIES) == letter


def test_chinese_choice_is_found_by_its_text():
    assert pick("是北京吧", {"A": "上海", "B": "北京"}) == "B"


def raw(**changes):
    row = {"id": "1", "question": "Where?", **CITIES, "answer": "C", "_where": "x_val.csv:2", **changes}
    return {k: v for k, v in row.items() if v is not None}


def test_question_as_the_model_sees_it():
    question = as_question(raw(D=None, explanation="so"), {})
    assert question.answer == "C"
    assert Form(PROMPT, LINE).write(question) == (
        "Answer the question with the letter of the right choice alone (A,B,C).\n\nWhere?\n"
        "A. Paris\nB. York\nC. New York"
    )
    assert as_question({**raw(question=None), "frage": "Wo?"}, {"frage": "question"}).text == "Wo?"
    braces = as_question(raw(question="What is {x}?"), {})
    assert Form("{question}|{choices}", "{letter}) {text}").write(braces).startswith("What is {x}?|A) Paris\n")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"answer": "E"}, "x_val.csv:2: the answer must be one of A, B, C, D, found 'E'"),
        ({"answer": None}, "the answer must be one of"),
        ({"B": None}, "without a gap"),
        ({"question": " "}, "x_val.csv:2: the question is empty"),
    ],
)
def test_bad_question_names_its_line(changes, words):
    with pytest.raises(SwiftError, match=words):
        as_question(raw(**changes), {})


FOUND = EvalSet("x", Source("x.csv", "local", text="x.csv"))


def test_columns_tell_the_form():
    assert form_of([raw()], FOUND, {}) == "choice"
    assert form_of([{"query": "a", "response": "b"}], FOUND, {}) == "qa"
    assert form_of([{"question": "a", "answer": "b"}], FOUND, {}) == "qa"
    assert form_of([{"messages": []}], FOUND, {}) == "qa"
    assert form_of([{"q": "a", "response": "b"}], FOUND, {"q": "query"}) == "qa"


def test_wrong_columns_name_the_right_ones():
    with pytest.raises(SwiftError, match=r"x.csv has the columns frage, id; .*question, A, B.* query and response"):
        form_of([{"id": "1", "frage": "?", "_where": "x.csv:2"}], FOUND, {})
    promised = EvalSet("x", FOUND.source, "choice")
    with pytest.raises(SwiftError, match="multiple choice needs the columns question, A, B"):
        form_of([{"query": "a", "response": "b"}], promised, {})
    with pytest.raises(SwiftError, match="x holds no rows"):
        form_of([], FOUND, {})


def evaluate(tmp_path, **options):
    """What the evaluator reads, with a server that nobody may ask: nothing listens at that port."""
    given = {"eval_url": "http://127.0.0.1:9", "output_dir": str(tmp_path / "out"), **options}
    job = prepare("eval", [Given(k, v, "test") for k, v in given.items()])
    return job.run()


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        (
            "id,question,A,B,answer\n1,Where?,a,b,A\n2,Who?,a,b,C\n",
            {},
            r"bad_val.csv:3: the answer must be one of A, B",
        ),
        ("id,question,A,B,answer\n1,Where?,a,b,A\n", {"num_shots": 2}, "bad_dev.csv does not exist"),
        ("id,question,A,B,answer\n1,Where?,a,b,A\n", {"choice_prompt": "{question}"}, "must hold"),
        ("id,question,A,B,answer\n1,Where?,a,b,A\n", {"choice_prompt": "{q}"}, "something else stands there: .q"),
        ("id,question,A,B,answer\n1,Where?,a,b,C\n", {"strict": False}, "bad: no rows are left"),
        ("query,response\nhello,hi\nhello,\n", {}, "bad_val.csv:3: .*nothing to learn or to compare with"),
        ("frage,antwort\nhallo,ja\n", {}, "has the columns antwort, frage"),
    ],
)
def test_bad_data_is_refused_before_anybody_is_asked(tmp_path, text, options, words):
    file = tmp_path / "bad_val.csv"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SwiftError, match=words):
        evaluate(tmp_path, eval_dataset=[str(file)], **options)


def test_unknown_name_points_to_evalscope(tmp_path):
    with pytest.raises(SwiftError, match=r"no file 'gsm8k'.*evalscope"):
        evaluate(tmp_path, eval_dataset=["gsm8k"], evaluator=["csv"])


def test_nobody_at_the_address(tmp_path):
    file = tmp_path / "fine.csv"
    file.write_text("query,response\nhello,hi\n", encoding="utf-8")
    with pytest.raises(SwiftError, match=r"No answer from http://127.0.0.1:9/v1.*Is the server running"):
        evaluate(tmp_path, eval_dataset=[str(file)])
