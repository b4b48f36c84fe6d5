"""The agent metrics by hand; the whole way with a model is in tests/test_evaluate.py."""

from __future__ import annotations

import json

import pytest
from swift_plugin_agent_eval import Case, Step, arguments_f1, as_step, calls_f1, scores

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("weather", "news")]
ROW = Row([], tools=TOOLS)


def call(tool="weather", **arguments):
    return {"name": tool, "arguments": arguments}


PARIS = call(city="Paris", day=1)
WANTS_CALL = Case(ROW, Step("call", [PARIS]))
WANTS_ANSWER = Case(ROW, Step("answer", [], "It rains in Paris"))


@pytest.mark.parametrize(
    ("pred", "value"),
    [
        (call(city="Paris", day=1), 1.0),
        (call(city="Rome", day=1), 0.75),  # 1 + 1/2 of 2 and of 2
        (call(city="Paris"), 2 / 3),  # recall 1/2, precision 1
        (call(city="Paris", day=1, hour=2), 0.8),  # recall 1, precision 2/3
        (call(city="Paris", day="1"), 0.75),  # a text is not a number
        (call(town="Paris"), 0.0),
        (call("news", city="Paris", day=1), 0.0),
        (None, 0.0),
    ],
)
def test_f1_of_arguments(pred, value):
    assert arguments_f1(PARIS, pred) == pytest.approx(value)


def test_f1_of_calls_without_arguments_and_of_several_calls():
    assert arguments_f1(call(), call()) == 1
    assert arguments_f1(call(), call(city="Paris")) == 0
    assert calls_f1([PARIS, call("news")], [PARIS, call("news")]) == 1
    assert calls_f1([PARIS, call("news")], [PARIS]) == pytest.approx(1 / 2)
    assert calls_f1([PARIS], [PARIS, call("news"), call()]) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("case", "pred", "wanted"),
    [
        (WANTS_CALL, Step("call", [PARIS]), (1, 1, 0, 1, None)),
        (WANTS_CALL, Step("call", [call("news")]), (1, 0, 0, 0, None)),
        (WANTS_CALL, Step("call", [call("stocks", city="Paris", day=1)]), (1, 0, 1, 0, None)),
        (WANTS_CALL, Step("call", [PARIS, call("news")]), (1, 0, 0, 0.5, None)),
        (WANTS_CALL, Step("answer", [], "No idea"), (0, 0, 0, 0, None)),
        (WANTS_ANSWER, Step("answer", [], "It rains in Rome"), (1, None, 0, None, 0.75)),
        (WANTS_ANSWER, Step("call", [PARIS]), (0, None, 0, None, 0)),
        (WANTS_ANSWER, Step("call", [call("stocks")]), (0, None, 1, None, 0)),
    ],
)
def test_scores_of_one_step(case, pred, wanted):
    assert tuple(scores(case, pred).values()) == pytest.approx(wanted)
    assert list(scores(case, pred)) == ["Plan.EM", "Act.EM", "HalluRate", "Avg.F1", "R-L"]


def test_text_and_toolbench_finish_as_steps():
    assert as_step([PARIS], "Thought: …") == Step("call", [PARIS])
    assert as_step([], "Thought: I know.\nFinal Answer: It rains.") == Step("answer", [], "It rains.")
    gives = call("Finish", return_type="give_answer", final_answer="It rains.")
    assert (as_step([gives], "").plan, as_step([gives], "").answer) == ("answer", "It rains.")
    assert as_step([call("Finish", return_type="give_up_and_restart")], "").plan == "give up"


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"query": "hi", "response": "ho"}, r"rows.jsonl:1: the row has no tools"),
        (
            {
                "tools": TOOLS,
                "messages": [
                    {"role": "user", "content": "hi"},
                    {"role": "assistant", "content": "", "tool_calls": [call("stocks")]},
                ],
            },
            "rows.jsonl:1: the row calls stocks, which its tools do not hold",
        ),
    ],
)
def test_row_that_cannot_be_measured(tmp_path, row, words):
    file = tmp_path / "rows.jsonl"
    file.write_text(json.dumps(row) + "\n", encoding="utf-8")
    options = {"eval_url": "http://127.0.0.1:9", "evaluator": ["agent"], "eval_dataset": [str(file)]}
    options["output_dir"] = str(tmp_path / "out")
    job = prepare("eval", [Given(k, v, "test") for k, v in options.items()])
    with pytest.raises(SwiftError, match=words):
        job.run()
