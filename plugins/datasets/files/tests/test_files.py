"""Local files keep the data set contract; each format is read, and a bad file is named with its line."""

import json
from pathlib import Path

import pytest
from swift_testing import DatasetContract
from swift_testing.contracts import CHAT, write_rows

from swift_core.contract.errors import SwiftError
from swift_core.contract.source import read_source

PAIR = {"query": "What is 1 + 2?", "response": "3"}


class TestLocal(DatasetContract):
    name = "local"
    rows = 2

    def source(self, folder: Path) -> str:
        return write_rows(folder, CHAT)


class TestFolder(TestLocal):
    """A folder of files is read in the order of their names."""

    rows = 4

    def source(self, folder: Path) -> str:
        write_rows(folder, CHAT, "b.jsonl")
        write_rows(folder, CHAT, "a.jsonl")
        return str(folder)


def rows_of(file: Path) -> list[dict]:
    from swift_plugin_files import Local

    return list(Local().load_rows(read_source(str(file))))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps([PAIR])),
        ("a.jsonl", json.dumps(PAIR) + "\n\n"),
        ("a.csv", "query,response\nWhat is 1 + 2?,3\n"),
        ("a.tsv", "query\tresponse\nWhat is 1 + 2?\t3\n"),
    ],
)
def test_every_text_format_gives_the_same_row(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8-sig")
    (row,) = rows_of(file)
    assert row.pop("_where").startswith(str(file))
    assert row == PAIR


def test_parquet(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist([PAIR, {**PAIR, "response": None}]), tmp_path / "a.parquet")
    one, other = rows_of(tmp_path / "a.parquet")
    assert one.items() >= PAIR.items()
    assert "response" not in other


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", '{"query": "a"}\n{"query": \n', r"a\.jsonl:2: not valid JSON"),
        ("a.jsonl", "[1]\n", r"a\.jsonl, row 1: a row is a JSON object"),
        ("a.json", '{"query": "a"}\n{"query": 1', r"a\.json:2: not valid JSON"),
        ("a.json", '"rows"', r"a\.json, row 1: a row is a JSON object"),
        ("a.csv", "query\na,b\n", r"a\.csv:2: more cells"),
        ("a.xlsx", "", r"unknown kind of data file"),
    ],
)
def test_a_bad_file_is_named_with_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(SwiftError, match=said):
        rows_of(tmp_path / name)
