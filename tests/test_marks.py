"""Marks in rows that options fill: the name and the author of a model that speaks of itself."""

from __future__ import annotations

import pytest

from swift_core import SwiftError
from swift_core.data.load import load_all
from swift_core.data.stream import RowStream
from swift_core.job.options import Given
from swift_core.job.prepare import prepare


@pytest.fixture
def load(qwen2):
    """The rows of a file as a job with these options reads them, at once and as a stream."""

    def read(file, **options):
        said = {"model": qwen2, "dataset": file, **options}
        job = prepare("sft", [Given(k, v, "test") for k, v in said.items()])
        rows = load_all(job, [file])
        assert [row.messages for row in RowStream(job, [file])] == [row.messages for row in rows]
        return rows

    return read


@pytest.mark.parametrize(
    ("tag", "names", "authors", "expected"),
    [
        ("zh", ["小黄", "Xiao Huang"], ["魔搭", "ModelScope"], "我是小黄, by 魔搭."),
        ("en", ["小黄", "Xiao Huang"], ["魔搭", "ModelScope"], "我是Xiao Huang, by ModelScope."),
        ("zh", ["Bo"], ["魔搭", "ModelScope"], "我是Bo, by 魔搭."),
        (None, ["Bo"], ["Me"], "我是Bo, by Me."),
        (None, ["{{NAME}}"], ["Me"], "我是{{NAME}}, by Me."),
    ],
)
def test_marks_are_filled_by_the_language_of_the_row(load, write_rows, tag, names, authors, expected):
    """In every message, also of the worse answer; a row without marks needs no tag."""
    said = "我是{{NAME}}, by {{AUTHOR}}."
    row = {"system": "You are {{NAME}}.", "query": "{{NAME}}?", "response": said, "rejected": f"{said}!"}
    rows = write_rows([row | ({"tag": tag} if tag else {}), {"query": "1", "response": "{{2}}"}])
    first, second = load(rows, model_name=names, model_author=authors)
    assert [m["content"] for m in first.messages][2] == expected and first.rejected[-1]["content"] == f"{expected}!"
    assert "{{" not in first.messages[0]["content"] + first.messages[1]["content"] or names == ["{{NAME}}"]
    assert second.messages[-1]["content"] == "{{2}}"


@pytest.mark.parametrize(
    ("options", "tag", "words"),
    [
        ({"model_author": ["Me"]}, "en", r"rows.jsonl:1: {{NAME}} stands for what --model_name says"),
        ({"model_name": ["Bo"]}, "en", r"rows.jsonl:1: {{AUTHOR}} stands for what --model_author says"),
        ({"model_name": ["a", "b"], "model_author": ["Me"]}, None, r"which of --model_name a b .* is not there"),
        ({"model_name": ["a", "b"], "model_author": ["Me"]}, "fr", r"which of --model_name a b .* is 'fr'"),
        ({"model_name": ["a", "b", "c"]}, "en", r"--model_name"),
    ],
)
def test_marks_that_cannot_be_filled_are_errors(load, write_rows, options, tag, words):
    row = {"query": "Who?", "response": "{{NAME}} of {{AUTHOR}}"} | ({"tag": tag} if tag else {})
    with pytest.raises(SwiftError, match=words):
        load(write_rows([row]), **options)
