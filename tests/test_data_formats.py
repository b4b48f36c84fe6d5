"""Every row of docs/data-formats.md, and every published format by its right value."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from swift_core import SwiftError
from swift_core.contract.row import check_question
from swift_core.data.convert import to_row
from swift_core.data.dataset_info import declared, read_entries
from swift_core.data.readers import read_file

ROOT = Path(__file__).parent.parent
SAMPLES = re.findall(r"```json ?(\w*)\n(.*?)\n```", (ROOT / "docs/data-formats.md").read_text(encoding="utf-8"), re.S)
ROWS = [(kind, text) for kind, text in SAMPLES if kind != "dataset_info"]


@pytest.mark.parametrize(("kind", "text"), ROWS, ids=[text[:50] for _, text in ROWS])
def test_every_documented_row_is_read(kind, text):
    row = to_row(json.loads(text))
    if kind == "pt":
        with pytest.raises(SwiftError, match="swift pt"):
            check_question(row)
        return
    check_question(row)
    assert row.extra.keys() <= {"positive", "negative", "tag"}
    assert (row.rejected is not None) == (kind == "pair")
    assert (row.label is not None) == (kind == "label")
    assert bool(row.images) == (kind == "image")
    if kind == "pair":
        assert said(row)[-1] == ("assistant", "Paris.") and said(row, "rejected")[-1] == ("assistant", "Lyon.")
        assert said(row)[:-1] == said(row, "rejected")[:-1] and said(row)[-2][0] == "user"


def said(row, which="messages"):
    return [(m["role"], m["content"]) for m in getattr(row, which)]


U, A, B = ({"role": role, "content": text} for role, text in (("user", "Q"), ("assistant", "A"), ("assistant", "B")))
U2, A2 = {"role": "user", "content": "Q2"}, {"role": "assistant", "content": "A2"}
SHAREGPT = {"from": "human", "value": "Q"}
GOOD, BAD = [("user", "Q"), ("assistant", "A")], [("user", "Q"), ("assistant", "B")]

PAIRS = {
    "TRL conversational": {"prompt": [U], "chosen": [A], "rejected": [B]},
    "TRL text prompt, conversational answers": {"prompt": "Q", "chosen": [A], "rejected": [B]},
    "TRL conversational prompt, answers as text": {"prompt": [U], "chosen": "A", "rejected": "B"},
    "TRL implicit prompt": {"chosen": [U, A], "rejected": [U, B]},
    "UltraFeedback": {"prompt": "Q", "messages": [U, A], "chosen": [U, A], "rejected": [U, B]},
    "prompt and whole conversations": {"prompt": [U], "chosen": [U, A], "rejected": [U, B]},
    "OpenAI": {"input": {"messages": [U]}, "preferred_output": [A], "non_preferred_output": [B]},
    "LLaMA-Factory ShareGPT": {
        "conversations": [SHAREGPT],
        "chosen": {"from": "gpt", "value": "A"},
        "rejected": {"from": "gpt", "value": "B"},
    },
    "LLaMA-Factory Alpaca": {"instruction": "Q", "input": "", "chosen": "A", "rejected": "B"},
    "ms-swift": {"messages": [U, A], "rejected_response": "B"},
    "ms-swift messages": {"messages": [U, A], "rejected_messages": [U, B]},
    "worse answer as messages": {"messages": [U, A], "rejected_messages": [B]},
    "messages and two answers": {"messages": [U], "chosen": "A", "rejected": "B"},
    "text": {"prompt": "Q", "chosen": "A", "rejected": "B"},
}


@pytest.mark.parametrize("name", PAIRS)
def test_preference_forms_keep_their_question(name):
    row = to_row(PAIRS[name])
    assert said(row) == GOOD and said(row, "rejected") == BAD
    with_system = to_row({**PAIRS[name], "system": "S"})
    assert said(with_system) == [("system", "S"), *GOOD] and said(with_system, "rejected") == [("system", "S"), *BAD]


def test_a_pair_may_differ_in_several_turns():
    row = to_row({"prompt": [U], "chosen": [A, U2, A2], "rejected": [B, U2, A2]})
    assert said(row) == [*GOOD, ("user", "Q2"), ("assistant", "A2")]
    assert said(row, "rejected") == [*BAD, ("user", "Q2"), ("assistant", "A2")]
    earlier = to_row({"messages": [U, A, U2, A2], "rejected_messages": [B]})
    assert said(earlier, "rejected") == [*GOOD, ("user", "Q2"), ("assistant", "B")]


CALL = {"name": "f", "arguments": {"a": 1}}

CONVERSATIONS = {
    "TRL conversational prompt and completion": ({"prompt": [U], "completion": [A]}, GOOD),
    "TRL prompt and completion": ({"prompt": "Q", "completion": "A"}, GOOD),
    "Alpaca with response": ({"instruction": "Say hi", "input": "", "response": "A"}, [("user", "Say hi"), GOOD[1]]),
    "Alpaca with input": ({"instruction": "I", "input": "Hola", "chosen": "A"}, [("user", "I\nHola"), GOOD[1]]),
    "Alpaca with a number as input": (
        {"instruction": "Add.", "input": 0, "output": "A"},
        [("user", "Add.\n0"), GOOD[1]],
    ),
    "Alpaca with its text beside": (
        {"instruction": "Q", "input": "", "output": "A", "text": "### Instruction:\nQ\n### Response:\nA"},
        GOOD,
    ),
    "a number as answer": ({"query": "Q", "response": 2}, [GOOD[0], ("assistant", "2")]),
    "zero as answer": ({"query": "Q", "response": 0}, [GOOD[0], ("assistant", "0")]),
    "a boolean as answer": ({"query": "Q", "response": False}, [GOOD[0], ("assistant", "false")]),
    "a number in a message": (
        {"messages": [U, {"role": "assistant", "content": 2.5}]},
        [GOOD[0], ("assistant", "2.5")],
    ),
    "role chatgpt": ({"conversations": [SHAREGPT, {"from": "chatgpt", "value": "A"}]}, GOOD),
    "messages as a table": ({"messages": {"role": ["user", "assistant"], "content": ["Q", "A"]}}, GOOD),
    "messages as Python writes them": ({"messages": str([U, A])}, GOOD),
    "text about tags": (
        {"query": "A <video> beside an <image>?", "response": "A"},
        [("user", "A <video> beside an <image>?"), GOOD[1]],
    ),
    "a refusal": (
        {"messages": [U, {"role": "assistant", "content": None, "refusal": "No."}]},
        [GOOD[0], ("assistant", "No.")],
    ),
    "null keys from Arrow": (
        {"messages": [{**U, "tool_calls": None, "weight": None}, {**A, "tool_calls": [], "name": None}], "tools": None},
        GOOD,
    ),
}


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_conversation_forms(name):
    raw, expected = CONVERSATIONS[name]
    assert said(to_row(raw)) == expected


CALLS = {
    "OpenAI legacy": {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": '{"a": 1}'}},
    "OpenAI": {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]},
    "JSON text": {"role": "assistant", "content": "", "tool_calls": json.dumps([CALL])},
    "one object": {"role": "assistant", "content": "", "tool_calls": CALL},
    "ShareGPT": {"from": "function_call", "value": json.dumps(CALL)},
    "ShareGPT, a list": {"from": "function_call", "value": json.dumps([CALL])},
}


@pytest.mark.parametrize("name", CALLS)
def test_call_forms(name):
    result = {"role": "function", "name": "f", "content": {"temperature": 20}}
    row = to_row({"messages": [U, CALLS[name], result, A]})
    assert row.messages[1] == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    assert row.messages[2] == {"role": "tool", "content": '{"temperature": 20}'}


def test_a_legacy_call_keeps_the_words_before_it():
    message = {"role": "assistant", "content": "Let me look.", "function_call": {"name": "now", "arguments": "{}"}}
    row = to_row({"messages": [U, message, {"role": "function", "content": "12"}, A], "functions": [{"name": "now"}]})
    assert row.messages[1]["content"] == "Let me look." and row.messages[1]["tool_calls"][0]["name"] == "now"
    assert row.tools == [{"type": "function", "function": {"name": "now"}}]


def test_several_calls_in_one_value():
    both = json.dumps([{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}])
    row = to_row(
        {"conversations": [SHAREGPT, {"from": "function_call", "value": both}, {"from": "observation", "value": "1"}]}
    )
    assert [call["name"] for call in row.messages[1]["tool_calls"]] == ["f", "g"]


PARTS = {
    "OpenAI": {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}},
    "OpenAI, url as text": {"type": "image_url", "image_url": "a.png"},
    "Qwen": {"type": "image", "image": "a.png"},
    "transformers, url": {"type": "image", "url": "a.png"},
    "transformers, path": {"type": "image", "path": "a.png"},
    "null-filled": {"type": "image", "image": "a.png", "text": None, "video": None},
    "without a type": {"image": "a.png"},
}


@pytest.mark.parametrize("name", PARTS)
def test_pictures_in_content_parts_are_taken_from_there(name):
    row = to_row({"messages": [{"role": "user", "content": [PARTS[name], {"type": "text", "text": "Q"}]}, A]})
    assert row.images == ["a.png"] and row.messages[0]["content"] == "<image>Q"


def test_sounds_and_videos_in_content_parts():
    parts = [
        {"type": "input_audio", "input_audio": {"data": "QUJD", "format": "mp3"}},
        {"type": "video", "video": ["1.png", "2.png"]},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "QUJD"}},
    ]
    row = to_row({"messages": [{"role": "user", "content": parts}, A]})
    assert row.messages[0]["content"] == "<audio><video><image>"
    assert row.audios == ["data:audio/mp3;base64,QUJD"] and row.videos == [["1.png", "2.png"]]
    assert row.images == ["data:image/png;base64,QUJD"]


def test_a_part_without_its_medium_stands_for_the_column():
    parts = [{"type": "image"}, {"type": "text", "text": "Q"}]
    assert to_row({"messages": [{"role": "user", "content": parts}, A], "images": ["a.png"]}).images == ["a.png"]
    with pytest.raises(SwiftError, match="both in the messages and in the column images"):
        to_row(
            {"messages": [{"role": "user", "content": [{"type": "image", "image": "b.png"}]}, A], "images": ["a.png"]}
        )


WEIGHTS = [
    ({"weight": 0}, {"loss": False}),
    ({"weight": 0.0}, {"loss": False}),
    ({"weight": 1}, {}),
    ({"weight": 0.5}, {"loss_scale": 0.5}),
    ({"train": False}, {"loss": False}),
    ({"train": True}, {"loss": True}),
    ({"loss": 0}, {"loss": False}),
    ({"loss": 0.0}, {"loss": False}),
    ({"loss": "false"}, {"loss": False}),
    ({"loss_scale": "0.5"}, {"loss_scale": 0.5}),
    ({"loss": None, "weight": None}, {}),
]


@pytest.mark.parametrize(("given", "expected"), WEIGHTS)
def test_the_weights_of_messages(given, expected):
    message = to_row({"messages": [U, {**A, **given}]}).messages[1]
    assert message == {**A, **expected}


@pytest.mark.parametrize(
    "given",
    [{"loss": "maybe"}, {"loss": 0.5}, {"weight": -1}, {"loss_scale": {}}, {"loss_scale": 10**400}, {"weight": "x"}],
)
def test_weights_that_are_none_are_refused(given):
    with pytest.raises(SwiftError, match="row, message 2: "):
        to_row({"messages": [U, {**A, **given}]})
    with pytest.raises(SwiftError, match="message 1: only the assistant"):
        to_row({"messages": [{**U, "train": True}, A]})


QA = {"query": "Q", "response": "A"}
REFUSED = {
    "another question in the worse conversation": (
        {"messages": [U, A], "rejected_messages": [U2, B]},
        "another question",
    ),
    "another question in the better one": ({"prompt": "Q2", "chosen": [U, A], "rejected": [U, B]}, "another question"),
    "a capital": ({"Question": "Q", "response": "A"}, '\'Question\' looks like.*"Question": "query"'),
    "a space": ({"question ": "Q", "response": "A"}, "looks like"),
    "two questions": ({"query": "Q", "prompt": "P", "response": "A"}, "'prompt' says something else"),
    "instruction and question": ({"instruction": "I", "question": "Q", "answer": "A"}, "'question' says"),
    "messages and history": ({"messages": [U, A], "history": [["x", "y"]]}, "'history' says"),
    "messages and query": ({"messages": [U, A], "query": "other"}, "'query' says"),
    "text and response": ({"text": "whole", "response": "A"}, "'text' says"),
    "two system texts": ({"messages": [{"role": "system", "content": "S"}, U, A], "system": "T"}, "system says"),
    "an unread kto_tag": ({"query": "Q", "response": "A", "label": True, "kto_tag": False}, "'kto_tag' says"),
    "pictures under a capital": ({"query": "Q", "response": "A", "Images": ["a.png"]}, "'Images' looks like"),
    "a list as instruction": ({"instruction": ["a", "b"], "output": "x"}, "a message is an object"),
    "an object as answer": ({"query": "Q", "response": {"a": 1}}, "must be text, found dict"),
    "not a number as answer": ({"query": "Q", "response": float("nan")}, "must be text"),
    "a blank answer": ({"query": "Q", "response": "  \n"}, "assistant says nothing"),
    "half a character": ({"query": "\ud83d", "response": "A"}, "half of a character"),
    "calls that are none": ({"messages": [U, {**A, "tool_calls": -1}]}, "a tool call has a name"),
    "a user's calls": ({"messages": [{**U, "tool_calls": [CALL]}, A]}, "only the assistant calls"),
    "a tool that is none": ({"query": "Q", "response": "A", "tools": [None]}, "tool 1: a tool is a function"),
    "a tool without a name": ({"query": "Q", "response": "A", "tools": [{}]}, "tool 1: a tool is a function"),
    "a tool without a function": ({"query": "Q", "response": "A", "tools": [{"function": None}]}, "tool 1"),
    "a description that is a list": (
        {"query": "Q", "response": "A", "tools": [{"name": "f", "description": []}]},
        "description must",
    ),
    "a number as history": ({"query": "Q", "response": "A", "history": 1.5}, "history is a list"),
    "one box": ({"query": "Q", "response": "A", "objects": {"bbox": 1.5}}, "bbox 1.5 is not"),
    "a text as refs": (
        {**QA, "objects": {"ref": "dog"}},
        "ref 'dog' is not a list",
    ),
    "a boolean in a box": (
        {"query": "Q", "response": "<bbox>", "objects": {"bbox": [[True, 1, 2, 3]]}},
        "bbox .* is not",
    ),
    "a huge box": ({**QA, "objects": {"bbox": [[10**400, 1, 2, 3]]}}, "bbox .* is not"),
    "a kind that is an object": ({"query": "Q", "response": "A", "objects": {"bbox_type": {}}}, "bbox_type"),
    "a picture that is null": ({"query": "Q", "response": "A", "images": [None]}, "a path, an address or bytes"),
    "an empty path": ({"query": "Q", "response": "A", "images": [""]}, "the path is empty"),
    "messages with an unknown part": (
        {"messages": [{"role": "user", "content": [{"type": "x"}]}, A]},
        "unknown content part",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_lost_or_wrong_is_refused_with_its_place(name):
    raw, message = REFUSED[name]
    with pytest.raises(SwiftError, match=f"rows:3.*{message}"):
        to_row({**raw, "_where": "rows:3"})


def test_what_is_said_twice_is_no_loss():
    row = to_row({"messages": [U, A], "prompt": "Q", "question": "Q", "prompt_id": "1", "answer": "42"})
    assert said(row) == GOOD and row.extra["answer"] == "42"  # the solution that a reward compares with
    copy = to_row({"messages": [U, A], "conversations": [SHAREGPT, {"from": "gpt", "value": "A"}]})
    assert said(copy) == GOOD


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"response": "A", "qeury": "Q"}, "no question.*qeury"),
        ({"text": "whole text"}, "swift pt"),
        ({"query": "", "response": "A"}, "message 1: the user says nothing"),
        ({"messages": [{"role": "user", "content": "  "}, A]}, "message 1: the user says nothing"),
    ],
)
def test_a_row_that_asks_nothing_is_refused(raw, message):
    with pytest.raises(SwiftError, match=message):
        check_question(to_row(raw))


def test_two_columns_for_one_of_ours_are_refused():
    with pytest.raises(SwiftError, match="two columns are to be 'query'"):
        to_row({"query": "a", "mine": "b", "response": "c"}, {"mine": "query"})
    swapped = to_row({"query": "A", "response": "Q"}, {"query": "response", "response": "query"})
    assert said(swapped) == GOOD


def test_schemas_lose_the_nulls_that_arrow_fills_in():
    tool = {
        "name": "f",
        "description": None,
        "parameters": {"type": "object", "properties": {"a": {"type": "string", "enum": None}, "zone": None}},
    }
    (found,) = to_row({"messages": [U, A], "tools": [tool]}).tools
    assert found["function"]["parameters"]["properties"] == {"a": {"type": "string"}}
    assert "description" not in found["function"]


def test_calls_lose_the_nulls_of_other_tools():
    tools = [{"name": "f", "parameters": {"type": "object", "properties": {"city": {}, "day": {}}}}]
    call = {"name": "f", "arguments": {"city": "Rome", "zone": None, "day": None}}
    row = to_row({"messages": [U, {"role": "assistant", "tool_calls": [call]}], "tools": tools})
    assert row.messages[1]["tool_calls"][0]["arguments"] == {"city": "Rome", "day": None}


# -- dataset_info.json ---------------------------------------------------------------------------------------
def entry_rows(folder, name, entry, rows, words=None):
    """The rows of one entry of a dataset_info.json."""
    (folder / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    (folder / "dataset_info.json").write_text(json.dumps({name: {"file_name": "rows.json", **entry}}), encoding="utf-8")
    source = declared(words or name, read_entries(str(folder)), use_hf=False)
    return [to_row(row) for raw in read_file(source.id) for row in source.layout.rows(raw)], source


def test_dataset_info_alpaca(tmp_path):
    rows = [{"instruction": "I", "input": "Hola", "output": "Hello", "history": [["a", "b"]]}]
    (row,), source = entry_rows(tmp_path, "mine", {"num_samples": 5}, rows)
    assert said(row) == [("user", "I\nHola"), ("assistant", "Hello")] and source.count == 5
    assert row.extra == {"undeclared_history": [["a", "b"]]}  # a column that the entry does not name
    columns = {"prompt": "question", "response": "reply", "system": "who", "history": "before"}
    rows = [{"question": "Q", "reply": "A", "who": "S", "before": [["a", "b"]]}]
    (row,), source = entry_rows(tmp_path, "mine", {"columns": columns}, rows, words="mine#7")
    assert said(row) == [("system", "S"), ("user", "a"), ("assistant", "b"), *GOOD] and source.count == 7


def test_dataset_info_alpaca_ranking_and_kto(tmp_path):
    columns = {"prompt": "instruction", "query": "input", "chosen": "good", "rejected": "bad"}
    rows = [{"instruction": "Q", "input": "", "good": "A", "bad": "B"}]
    (row,), _ = entry_rows(tmp_path, "mine", {"ranking": True, "columns": columns}, rows)
    assert said(row) == GOOD and said(row, "rejected") == BAD
    columns = {"prompt": "instruction", "response": "output", "kto_tag": "tag"}
    (row,), _ = entry_rows(tmp_path, "mine", {"columns": columns}, [{"instruction": "Q", "output": "A", "tag": False}])
    assert said(row) == GOOD and row.label is False


def test_the_documented_dataset_info(tmp_path):
    (text,) = [text for kind, text in SAMPLES if kind == "dataset_info"]
    entry = json.loads(text)["capitals"]
    rows = [
        {
            "talk": [{"speaker": "me", "said": "Q"}],
            "better": {"speaker": "you", "said": "A"},
            "worse": {"speaker": "you", "said": "B"},
        }
    ]
    (row,), _ = entry_rows(tmp_path, "capitals", {**entry, "file_name": "rows.json"}, rows)
    assert said(row) == GOOD and said(row, "rejected") == BAD


def test_dataset_info_openai_and_sharegpt_tools(tmp_path):
    tags = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
    (row,), _ = entry_rows(
        tmp_path,
        "a",
        {"formatting": "sharegpt", "columns": {"messages": "messages"}, "tags": tags},
        [{"messages": [U, A]}],
    )
    assert said(row) == GOOD
    (row,), _ = entry_rows(tmp_path, "a", {"formatting": "openai"}, [{"messages": [U, A]}])
    assert said(row) == GOOD
    talk = [SHAREGPT, {"from": "function_call", "value": json.dumps(CALL)}, {"from": "observation", "value": "1"}]
    talk.append({"from": "gpt", "value": "A"})
    entry = {"formatting": "sharegpt", "columns": {"messages": "conversations", "tools": "tools"}}
    (row,), _ = entry_rows(tmp_path, "a", entry, [{"conversations": talk, "tools": '[{"name": "f"}]'}])
    assert row.messages[1]["tool_calls"] == [CALL] and row.tools[0]["function"]["name"] == "f"


def test_dataset_info_hub_ids(tmp_path):
    entry = {"hf_hub_url": "a/b", "ms_hub_url": "c/d", "subset": "s", "split": "test"}
    (tmp_path / "dataset_info.json").write_text(json.dumps({"x": entry}))
    entries = read_entries(str(tmp_path))
    assert declared("x", entries, use_hf=True).id == "a/b"
    found = declared("x", entries, use_hf=False)
    assert (found.id, found.hub, found.subset, found.split) == ("c/d", "modelscope", "s", "test")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"formatting": "vicuna"}, "formatting 'vicuna' is not alpaca"),
        ({"columns": {"promt": "q"}}, "knows no 'promt'. Did you mean 'prompt'"),
        ({"columns": [1]}, "columns must be an object"),
        ({"ranking": True}, "needs the columns chosen and rejected"),
        ({"file_name": None, "script_url": "x"}, "script_url is not read here"),
        ({"file_name": "nowhere.json"}, "does not exist"),
        ({"num_samples": "many"}, "num_samples must be a number"),
    ],
)
def test_a_bad_entry_says_what_is_wrong(tmp_path, entry, message):
    with pytest.raises(SwiftError, match=message):
        entry_rows(tmp_path, "mine", entry, [])
    with pytest.raises(SwiftError, match=r"has no data set 'mien'\. Did you mean 'mine'"):
        entry_rows(tmp_path, "mine", {}, [], words="mien")
