"""Data: every column layout becomes the standard row, and every mistake says where it is."""

from __future__ import annotations

import json

import pytest

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.contract.source import read_source
from swift_core.data.boxes import from_pixels, pixel_boxes, to_pixels
from swift_core.data.convert import to_row
from swift_core.data.load import split_rows
from swift_core.data.mix import take
from swift_core.data.readers import read_file


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"query": "hi", "response": "yo"}, [("user", "hi"), ("assistant", "yo")]),
        (
            {"instruction": "Add.", "input": "1 2", "output": "3", "system": "S"},
            [("system", "S"), ("user", "Add.\n1 2"), ("assistant", "3")],
        ),
        (
            {"query": "b", "response": "B", "history": [["a", "A"]]},
            [("user", "a"), ("assistant", "A"), ("user", "b"), ("assistant", "B")],
        ),
        (
            {"conversations": [{"from": "human", "value": "x"}, {"from": "gpt", "value": "y"}]},
            [("user", "x"), ("assistant", "y")],
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "说"}]},
                    {"role": "assistant", "content": "好"},
                ]
            },
            [("user", "说"), ("assistant", "好")],
        ),
        ({"text": "plain"}, [("assistant", "plain")]),
    ],
)
def test_column_layouts(raw, expected):
    assert [(m["role"], m["content"]) for m in to_row(raw).messages] == expected


def test_openai_tool_calls_become_plain_calls_and_results():
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": [1, null]}'}}
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "ok"},
        {"role": "assistant", "content": "done"},
    ]
    row = to_row({"messages": messages, "tools": [{"name": "f", "parameters": {}}]})
    assert row.messages[1]["tool_calls"] == [{"name": "f", "arguments": {"a": [1, None]}}]
    assert row.tools == [{"type": "function", "function": {"name": "f", "parameters": {}}}]


def test_paper_listing_2_grounding_row():
    objects = json.dumps([{"caption": "guy in red", "bbox": [138, 136, 235, 359], "bbox_type": "real", "image": 0}])
    row = to_row(
        {"query": "<image>Where is <ref-object>?", "response": "At <bbox>", "images": ["a.jpg"], "objects": objects}
    )
    row.image_sizes = [(640, 480)]
    assert row.objects["ref"] == ["guy in red"]
    assert pixel_boxes(row) == [([138.0, 136.0, 235.0, 359.0], (640, 480))]


def test_rejected_answer_shares_the_prompt():
    row = to_row({"query": "q", "response": "good", "rejected_response": "bad"})
    assert row.rejected == [{"role": "user", "content": "q"}, {"role": "assistant", "content": "bad"}]


def test_other_columns_are_kept_for_rewards():
    assert to_row({"query": "q", "response": "r", "difficulty": 3}).extra["difficulty"] == 3


def test_image_without_placeholder_is_put_first():
    assert to_row({"query": "what?", "response": "x", "image": "a.png"}).messages[0]["content"] == "<image>what?"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"messages": [{"role": "wizard", "content": "x"}]}, ["file:3", "message 1", "wizard"]),
        ({"query": "q", "response": ""}, ["file:3", "assistant says nothing"]),
        ({"query": "<image><image>", "response": "r", "images": ["a"]}, ["file:3", "2 <image>", "1 given"]),
        ({"messages": "oops"}, ["file:3", "expected JSON"]),
        ({"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]}, ["message 2", "two user"]),
        ({"query": "q", "response": "r", "history": ["x"]}, ["file:3", "history"]),
        ({"query": "q", "response": "r", "rejected_response": ""}, ["file:3", "rejected"]),
        ({"foo": 1}, ["file:3", "foo", "--columns"]),
        ({"query": "q", "response": "r", "objects": {"bbox": [[1, 2, 3, 4]], "bbox_type": "miles"}}, ["miles"]),
    ],
)
def test_bad_rows_say_what_and_where(raw, words):
    with pytest.raises(SwiftError) as caught:
        to_row({**raw, "_where": "file:3"})
    for word in words:
        assert word in str(caught.value)


def test_readers_agree_over_formats(tmp_path):
    rows = [{"query": "一", "response": "1"}, {"query": 'two, "quoted"', "response": "2\nlines"}]
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(r) for r in rows), encoding="utf-8")
    (tmp_path / "a.json").write_text(json.dumps(rows), encoding="utf-8")
    import csv

    with (tmp_path / "a.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, ["query", "response"])
        writer.writeheader()
        writer.writerows(rows)
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for name in ("a.jsonl", "a.json", "a.csv", "a.parquet"):
        found = [{k: v for k, v in r.items() if k != "_where"} for r in read_file(tmp_path / name)]
        assert found == rows, name


def test_malformed_json_names_its_line(tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"query": "a", "response": "b"}\n{"query": \n')
    with pytest.raises(SwiftError, match=r"rows\.jsonl:2.*not valid JSON"):
        list(read_file(file))


def test_csv_row_with_too_many_cells_names_its_line(tmp_path):
    file = tmp_path / "rows.csv"
    file.write_text("query,response\na,b\nc,d,e\n")
    with pytest.raises(SwiftError, match=r"rows\.csv:3"):
        list(read_file(file))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("owner/name", ("owner/name", "modelscope", "default", "train", None)),
        ("HF::owner/name:sub/test#20", ("owner/name", "huggingface", "sub", "test", 20)),
        ("ms::owner/name#5", ("owner/name", "modelscope", "default", "train", 5)),
    ],
)
def test_dataset_syntax(text, expected):
    source = read_source(text)
    assert (source.id, source.hub, source.subset, source.split, source.count) == expected


def test_missing_file_and_nonsense_are_named():
    with pytest.raises(SwiftError, match=r"nowhere\.jsonl.*does not exist"):
        read_source("nowhere.jsonl")
    with pytest.raises(SwiftError, match="neither an existing file nor a hub id"):
        read_source("no slash here")


def test_count_takes_without_replacement_then_repeats():
    rows = [Row([], where=str(i)) for i in range(10)]
    few = take(rows, 4, seed=1)
    assert len({r.where for r in few}) == 4
    many = take(rows, 23, seed=1)
    assert len(many) == 23 and all(sum(r.where == str(i) for r in many) in (2, 3) for i in range(10))


def test_split_is_disjoint_and_whole():
    rows = [Row([], where=str(i)) for i in range(50)]
    train, held = split_rows(rows, 0.2, seed=3)
    assert len(held) == 10 and {r.where for r in train} | {r.where for r in held} == {str(i) for i in range(50)}
    assert not {r.where for r in train} & {r.where for r in held}


@pytest.mark.parametrize("bbox_type", ["real", "norm_1", "norm_1000"])
def test_boxes_round_trip_within_the_quantum(bbox_type):
    box, size = [12.0, 30.0, 333.0, 401.0], (640, 480)
    back = to_pixels(from_pixels(box, bbox_type, *size), bbox_type, *size)
    quantum = {"real": 0.5, "norm_1": 0.04, "norm_1000": 0.33}[bbox_type]
    assert max(abs(a - b) for a, b in zip(box, back, strict=True)) <= quantum


def test_box_outside_the_picture_is_refused():
    row = Row([], objects={"bbox": [[0, 0, 700, 10]]}, image_sizes=[(640, 480)], where="file:9")
    with pytest.raises(SwiftError, match=r"file:9, box 1.*640 × 480"):
        pixel_boxes(row)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"chosen": "It is 1.", "rejected": "No."}, "2 rows have a rejected answer, from which sft does not learn"),
        (
            {"completion": "It is 1.", "label": False},
            "2 rows have a label, from which sft does not learn; 2 of them say that the answer is bad, and it is "
            "learnt all the same",
        ),
        ({"response": "It is 1.", "label": 3}, "2 rows have a label, from which sft does not learn"),
    ],
)
def test_what_a_method_does_not_learn_from_is_said(qwen2, write_rows, tmp_path, capsys, row, said):
    from swift_core import run

    rows = write_rows([{"prompt": "What is 1?", **row}, {"prompt": "What is 2?", **row}])
    run("sft", model=qwen2, template="chatml", dataset=[rows], output_dir=str(tmp_path / "out"), max_steps=1)
    assert [
        line for line in capsys.readouterr().err.splitlines() if "learn from" in line or "does not learn" in line
    ] == [f"{rows}: {said}"]


def test_keys_of_messages_that_are_not_read_are_said(qwen2, write_rows, tmp_path, capsys):
    """Once a source, those without a value and those that only number the messages left out."""
    from swift_core import run

    talk = [
        {"role": "user", "content": "What is 1?", "name": "Ann", "mood": None, "id": "7"},
        {"role": "assistant", "content": "It is 1.", "score": 3, "label": False},
    ]
    rows = write_rows([{"messages": talk}, {"messages": talk}])
    run("sft", model=qwen2, template="chatml", dataset=[rows], output_dir=str(tmp_path / "out"), max_steps=1)
    said = [line for line in capsys.readouterr().err.splitlines() if "keys of messages" in line]
    assert said == [f"{rows}: keys of messages that are not read: name, score, label"]


@pytest.mark.parametrize(
    ("message", "wrong"),
    [
        ({"role": "user", "content": "a", "weight": 0.5}, "only the assistant's messages are trained"),
        ({"role": "user", "content": "a", "bbox": [[1, 2, 3, 4]]}, "the key 'bbox' is not read"),
    ],
)
def test_what_a_message_cannot_have_is_refused(message, wrong):
    from swift_core.data.convert import to_row

    with pytest.raises(SwiftError, match=wrong):
        to_row({"messages": [message, {"role": "assistant", "content": "b"}], "_where": "f:1"})
