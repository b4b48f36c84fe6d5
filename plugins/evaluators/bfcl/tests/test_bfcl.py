"""BFCL's rows as ours and back, everywhere; its own data and checker, where its environment is made."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from swift_plugin_bfcl.cases import FILES, case_of, read_category
from swift_plugin_bfcl.checker import judge
from swift_testing.contracts import tiny_model

from swift_core import SwiftError, run
from swift_core.catalogue import venvs
from swift_core.evaluation.benchmarks import all_benchmarks

AREA = {
    "name": "math.area",
    "description": "Area of a shape.",
    "parameters": {
        "type": "dict",
        "properties": {
            "type": {"type": "string", "description": "Its name.", "enum": ["dict", "circle"]},
            "sides": {"type": "tuple", "items": {"type": "float"}, "description": "Lengths."},
            "more": {"type": "dict", "properties": {"unit": {"type": "any"}}, "description": "Unit."},
        },
        "required": ["type", "sides"],
    },
}
ROW = {
    "id": "own_0",
    "question": [[{"role": "user", "content": "How large is a square of 2 by 2?"}]],
    "function": [AREA],
    "ground_truth": [{"math.area": {"type": ["square", "rectangle"], "sides": [[2.0, 2.0]], "more": [""]}}],
}


def test_functions_become_tools_with_types_of_json_schema():
    tool = case_of(ROW).row.tools[0]["function"]
    assert tool["name"] == "math_area" and tool["parameters"]["required"] == ["type", "sides"]
    assert tool["parameters"]["type"] == "object"
    assert tool["parameters"]["properties"] == {
        "type": {"type": "string", "description": "Its name.", "enum": ["dict", "circle"]},
        "sides": {"type": "array", "items": {"type": "number"}, "description": "Lengths."},
        "more": {"type": "object", "properties": {"unit": {"type": "string"}}, "description": "Unit."},
    }


def test_two_messages_of_one_role_become_one():
    said = [
        {"role": role, "content": text}
        for role, text in (("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d"))
    ]
    messages = case_of({**ROW, "question": [said]}).row.messages
    assert [(m["role"], m["content"]) for m in messages] == [("user", "a\n\nb"), ("assistant", "c"), ("user", "d")]


def test_calls_get_their_dots_back():
    calls = [{"name": "math_area", "arguments": {"type": "square"}}, {"name": "unheard_of", "arguments": {}}]
    assert case_of(ROW).as_bfcl(calls) == [{"math.area": {"type": "square"}}, {"unheard_of": {}}]


def test_a_category_follows_from_the_row():
    other = {**AREA, "name": "other"}
    one = ROW["ground_truth"]
    found = [
        case_of({**ROW, "function": functions, "ground_truth": truth}).category
        for functions in ([AREA], [AREA, other])
        for truth in (one, one * 2, [])
    ]
    assert found == ["simple", "parallel", "irrelevance", "multiple", "parallel_multiple", "irrelevance"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ground_truth": None}, "rows.jsonl:3: a row of BFCL has the lists .* ground_truth is none"),
        ({"question": ROW["question"] * 2}, "own_0: the question has 2 turns"),
        ({"function": [AREA, {**AREA, "name": "math_area"}]}, "own_0: two functions have one name without dots"),
    ],
)
def test_a_row_that_cannot_be_measured_says_why(change, words):
    with pytest.raises(SwiftError, match=words):
        case_of({**ROW, "_where": "rows.jsonl:3", **change})


def test_irrelevant_functions_want_no_call_and_relevant_ones_any(tmp_path):
    irrelevant, relevant = (case_of({**ROW, "ground_truth": []}, c) for c in ("irrelevance", "relevance"))
    pairs = [(irrelevant, []), (irrelevant, [{"math.area": {}}]), (relevant, []), (relevant, [{"math.area": {}}])]
    assert judge(tmp_path, Path("unused"), pairs) == ["", "called: math.area", "nothing is called", ""]


def test_every_category_has_a_name():
    assert set(all_benchmarks()["bfcl"]) == {f"bfcl_{category}" for category in FILES}


NEEDS_BFCL = pytest.mark.skipif(os.environ.get("SWIFT_TEST_BFCL") != "1", reason="fetches bfcl-eval: make test-bfcl")


def gold(case):
    """Calls with the first value that BFCL allows for each argument that may not be left out."""
    return [{name: first(arguments)} for call in case.ground_truth for name, arguments in call.items()]


def first(arguments):
    return {key: plain(values[0]) for key, values in arguments.items() if values and "" not in values}


def plain(value):
    if isinstance(value, list):
        return [plain(item) for item in value]
    return first(value) if isinstance(value, dict) else value


@NEEDS_BFCL
def test_every_category_is_read():
    counts = {category: len(read_category(venvs.find("bfcl").create(), category)) for category in FILES}
    assert counts["live_irrelevance"] == 884 and counts["irrelevance"] == 240 and sum(counts.values()) == 3491


@NEEDS_BFCL
@pytest.mark.parametrize(
    ("category", "rows", "right"),
    [("simple", 400, 398), ("multiple", 200, 200), ("parallel", 200, 199), ("parallel_multiple", 200, 198)],
)
def test_the_checker_accepts_right_calls_and_refuses_wrong_ones(category, rows, right, tmp_path):
    """In the few others an argument may be left out by the answers and not by the function."""
    python = venvs.find("bfcl").create()
    cases = read_category(python, category)
    faults = judge(tmp_path, python, [(case, gold(case)) for case in cases])
    assert len(cases) == rows and faults.count("") == right
    assert all(judge(tmp_path, python, [(case, [{"nobody": {}}] * len(case.ground_truth)) for case in cases]))
    assert all("wrong_count" in fault for fault in judge(tmp_path, python, [(case, []) for case in cases]))


@NEEDS_BFCL
def test_a_model_is_measured_on_a_category_and_on_a_file(tmp_path):
    """A random model calls nothing: all wrong where a call is wanted, all right where none is."""
    file = tmp_path / "own.jsonl"
    file.write_text(json.dumps(ROW) + "\n")
    done = run(
        "eval", model=tiny_model("qwen2"), template="chatml", agent="hermes", device="cpu", max_new_tokens=4,
        evaluator=["bfcl"], eval_dataset=["bfcl_irrelevance", str(file)], eval_limit=3, output_dir=str(tmp_path / "o"),
    )  # fmt: skip
    named = {report["name"]: report for report in done["reports"]}
    assert named["bfcl_irrelevance"]["metrics"] == {"accuracy": 1.0} and named["bfcl_irrelevance"]["rows"] == 3
    assert named["own"]["metrics"] == {"accuracy": 0.0}
    (line,) = map(json.loads, Path(named["own"]["file"]).read_text(encoding="utf-8").splitlines())
    assert line["tools"] == ["math_area"] and "wrong_count" in line["fault"] and not line["right"]
