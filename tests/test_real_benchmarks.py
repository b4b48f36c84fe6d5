"""What the benchmarks on real weights are built of: rows that share no function, right calls, figures that are kept."""

from __future__ import annotations

import json

import pytest
from swift_plugin_bfcl.cases import case_of

from benchmarks.bfcl.columns import COLUMNS, as_right, columns, table
from benchmarks.bfcl.material import REFUSAL, connected, functions, right_calls, training_rows
from benchmarks.kept import Kept
from benchmarks.precision.__main__ import type_for
from benchmarks.quantizers.__main__ import before_difference, bytes_of

TRUTH = [{"trip.plan": {"city": ["Paris", "Paris, France"], "days": [3], "mode": ["train", ""]}}]


def case(truth, *names):
    listed = [{"name": n, "description": n, "parameters": {"type": "dict", "properties": {}}} for n in names]
    return case_of(
        {"id": str(names), "question": [[{"role": "user", "content": "?"}]], "function": listed, "ground_truth": truth}
    )


def test_rows_that_share_a_function_stay_together():
    rows = [case([], *names) for names in (["a"], ["b", "c"], ["d"], ["c", "a"], ["e"])]
    groups = connected(rows)
    assert sorted(sorted(set().union(*map(functions, group))) for group in groups) == [["a", "b", "c"], ["d"], ["e"]]
    assert sum(map(len, groups)) == len(rows)


def test_the_right_call_leaves_out_what_may_be_left_out():
    assert right_calls(TRUTH) == [{"name": "trip_plan", "arguments": {"city": "Paris", "days": 3}}]
    row = training_rows([case(TRUTH, "trip.plan")], "react")[0]
    assert row["messages"][1] == {
        "role": "assistant",
        "content": "Thought: I need trip_plan.",
        "tool_calls": right_calls(TRUTH),
    }
    assert training_rows([case([], "a")], "hermes")[0]["messages"][1]["content"] == REFUSAL


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ({"city": "PARIS, france", "days": 3}, {"city": "Paris", "days": 3}),
        ({"city": "Paris", "days": 3, "mode": "train"}, {"city": "Paris", "days": 3}),
        ({"city": "Rome", "days": 3, "mode": "ship"}, {"city": "Rome", "days": 3, "mode": "ship"}),
        ({"town": "Paris"}, {"town": "Paris"}),
    ],
)
def test_values_that_bfcl_allows_count_as_right(given, seen):
    assert as_right([{"name": "trip_plan", "arguments": given}], TRUTH)[0]["arguments"] == seen


def test_columns_of_stored_answers(tmp_path):
    call = {"name": "trip_plan", "arguments": {"city": "Paris", "days": 4}}
    rows = [
        {"tools": ["trip_plan"], "calls": [call], "answer": "", "gold": TRUTH, "right": False},
        {"tools": ["trip_plan"], "calls": [], "answer": REFUSAL, "gold": [], "right": True},
        {"tools": ["trip_plan"], "calls": [{"name": "fly", "arguments": {}}], "answer": "", "gold": [], "right": False},
        {"tools": ["trip_plan"], "calls": [], "answer": "Well.", "gold": TRUTH, "right": False},
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = columns(tmp_path / "rows.jsonl")
    assert found == dict(zip(COLUMNS, [50, 50, 25, 37.5, 50, 25], strict=True))
    assert "| w/ | 50.00 ± 0.00 |" in table("react", {"w/": [found, found]})


def test_figures_are_kept_and_other_settings_refused(tmp_path):
    file = tmp_path / "figures.json"
    assert Kept(file, {"steps": 2}).once("a", lambda: {"loss": 1.5}) == {"loss": 1.5}
    assert Kept(file, {"steps": 2}).once("a", lambda: pytest.fail("measured again")) == {"loss": 1.5}
    assert Kept(file, {"steps": 2}).once("b", lambda: {"error": "no memory"})["error"]
    assert Kept(file, {"steps": 2}).once("b", lambda: {"loss": 2.0}) == {"loss": 2.0}  # one that failed is tried again
    with pytest.raises(SystemExit, match="is of other settings"):
        Kept(file, {"steps": 3})


def test_agreement_and_bytes():
    import torch

    assert before_difference([1, 2, 9, 4], [1, 2, 3, 4]) == 2 and before_difference([5, 6], [5, 6]) == 2
    tied = torch.nn.Sequential(torch.nn.Linear(4, 4, bias=False), torch.nn.Linear(4, 4, bias=False))
    assert bytes_of(tied) == 2 * 64
    tied[1].weight = tied[0].weight
    assert bytes_of(tied) == 64


def test_a_file_of_mixed_types_is_loaded_without_a_loss():
    assert (type_for("BF16"), type_for("F32"), type_for("BF16, F32")) == ("bfloat16", "float32", "float32")
    with pytest.raises(SystemExit, match="weights of the type U8"):
        type_for("F32, U8")
