"""`swift show data`: what trains, lengths, doubles and empty answers; from files, names and a real tokenizer."""

import json

import pytest
from swift_testing.contracts import tiny_model

from swift_core.cli.show_data import show_data
from swift_core.contract.errors import SwiftError

ROWS = [
    {"query": "What is 1 + 2?", "response": "3"},
    {"query": "What is 1 + 2?", "response": "3"},
    {"query": "Say nothing.", "response": ""},
    {"query": "Which?", "response": "Thought: look.\nAction: get\nAction Input: {}", "source": "me"},
]


@pytest.fixture
def file(tmp_path):
    place = tmp_path / "rows.jsonl"
    place.write_text("".join(json.dumps(row) + "\n" for row in ROWS) + "{\n", encoding="utf-8")
    return str(place)


def test_without_a_model_turns_are_shown(file, capsys):
    show_data([file])
    text = capsys.readouterr().out
    assert "user: What is 1 + 2?\nassistant: «3»" in text and "beside: source" in text
    assert "3 rows can be used\n2 cannot be used, the first: " + file + ":3" in text
    assert "1 of these have an empty answer" in text
    assert "1 say the same as an earlier one, the first: " + file + ":2" in text
    assert "characters of a row: 15 to" in text and "█ 2" in text


def test_with_a_model_what_trains_has_its_weight(file, capsys, tmp_path):
    words = [
        file,
        "--model",
        tiny_model("llama"),
        "--template",
        "chatml",
        "--loss_scale",
        "react",
        "--max_length",
        "20",
    ]
    show_data([*words, "--png", str(tmp_path / "lengths.png"), "--colour", "true"])
    text = capsys.readouterr().out
    assert "\x1b[32m3<|im_end|>\x1b[0m" in text and "\x1b[1;33m[2×]Action:" in text
    assert "ids: " in text and "tokens of a row" in text and "are longer than --max_length 20 tokens" in text
    assert (tmp_path / "lengths.png").read_bytes().startswith(b"\x89PNG")


def test_a_pair_shows_both_answers_of_a_card(capsys):
    show_data(["hh-rlhf", "--example", "true"])
    text = capsys.readouterr().out
    assert "row 1: example of hh-rlhf" in text
    assert "rejected:\nuser: Name two animals that can fly.\nassistant: «I will not say.»" in text


def test_a_wrong_word_is_told(tmp_path):
    with pytest.raises(SwiftError, match=r"no card describes it"):
        show_data(["nobody/nothing", "--example", "true"])
    (tmp_path / "bad.jsonl").write_text('{"a": \n')
    with pytest.raises(SwiftError, match=r"No row can be used\. .*bad.jsonl:1"):
        show_data([str(tmp_path / "bad.jsonl")])
