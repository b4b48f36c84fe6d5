"""Each step of a declared layout, and what is said where a row is not as declared."""

import pytest

from swift_core.contract.errors import SwiftError
from swift_core.data.layout import Layout
from swift_core.data.paths import filled, value_at
from swift_core.data.published import read_published

CARD = 'summary = "x"\nmodelscope = "a/b"\ntask = "chat"\n'


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("a", "x"),
        ("b[c]", 1),
        ("l[1]", "z"),
        ("l[7]", None),
        ("l[n]", "z"),
        ("j[k][0]", 5),
        ("o[][q]", ["s", "t"]),
        ("none", None),
        ("a:b", 2),
    ],
)
def test_a_path_finds_what_stands_there(path, value):
    row = {"a": "x", "b": {"c": 1}, "l": ["y", "z"], "n": 1, "j": '{"k": [5]}', "o": [{"q": "s"}, {"q": "t"}], "a:b": 2}
    assert value_at(row, path) == value


def test_texts_hold_paths_numbers_lists_and_json():
    row = {"a": "x", "l": ["1", "2"], "n": [3, 4], "s": 0.756, "empty": ""}
    assert filled('{a}: {l} {n} {s:.1f} {"role": {a}}', row) == 'x: 1\n2 [3, 4] 0.8 {"role": x}'
    assert filled("<{l[]}>", row) == ["<1>", "<2>"]
    assert filled("{empty}", row) is None and filled("{missing}", row) is None


@pytest.mark.parametrize(
    ("layout", "raw", "rows"),
    [
        (Layout(columns={"q": "query", "x": "-"}), {"q": 1, "x": 2, "k": 3}, [{"query": 1, "k": 3}]),
        (
            Layout(columns={"q": "query"}),
            {"q": 1, "question": 2, "output": 3},
            [{"query": 1, "undeclared_question": 2, "undeclared_output": 3}],
        ),
        (
            Layout(columns={"q": "query", "a[0]": "response"}),
            {"q": 1, "a": [5, 6], "output": 3},
            [{"query": 1, "response": 5, "a": [5, 6], "output": 3}],
        ),
        (Layout(replace={"t": ["^x", "", "y", "z"]}), {"t": "xyx"}, [{"t": "zx"}]),
        (Layout(parse={"t": "(?P<m>.)-(?P<n>.)"}), {"t": "a-b"}, [{"t": "a-b", "m": "a", "n": "b"}]),
        (Layout(names={"c": ["no", "yes"]}), {"c": "1"}, [{"c": "yes"}]),
        (Layout(keep={"c": "^y"}), {"c": "no"}, []),
        (
            Layout(each=[{"query": "{a}?", "label": 0}, {"query": "{b}?", "label": 1}]),
            {"a": "x", "b": "y"},
            [{"query": "x?", "label": 0, "a": "x", "b": "y"}, {"query": "y?", "label": 1, "a": "x", "b": "y"}],
        ),
        (
            Layout(columns={"talk": "messages"}, role="who", content="says", roles={"me": "user", "note": "-"}),
            {"talk": [{"who": "note", "says": "n"}, {"who": "me", "says": "Q"}]},
            [{"messages": [{"role": "user", "content": "Q"}]}],
        ),
        (
            Layout(columns={"t": "messages"}, speakers={"H:": "user", "A:": "assistant"}),
            {"t": "Be brief.\nH: a H: b\nA: c"},
            [
                {
                    "messages": [
                        {"role": "system", "content": "Be brief."},
                        {"role": "user", "content": "a H: b"},
                        {"role": "assistant", "content": "c"},
                    ]
                }
            ],
        ),
    ],
)
def test_each_step(layout, raw, rows):
    assert layout.rows(raw) == rows


def test_columns_that_the_user_maps_stay():
    layout = Layout(columns={"q": "query"})
    assert layout.rows({"z": 1, "question": 2}, {"question"}) == [{"z": 1, "question": 2}]


@pytest.mark.parametrize(
    ("layout", "raw", "said"),
    [
        (Layout(columns={"q": "query"}, name="the card of x"), {"z": 1}, "f:1: the card of x names the columns q"),
        (Layout(texts={"query": "{q}"}), {"z": 1}, "makes query of '{q}', and a column is missing"),
        (Layout(parse={"t": "a(?P<b>b)"}), {"t": "x"}, "the column 't' is not as"),
        (Layout(names={"c": ["no"]}), {"c": 4}, "4 is not the number of one of no"),
        (Layout(columns={"q": "query", "z": "query"}), {"q": 1, "z": 2}, "takes two columns for 'query'"),
        (Layout(turns=["q", "a"]), {"q": ["x"], "a": []}, "lists of one length"),
        (Layout(columns={"t": "messages"}, role="who"), {"t": ["x"]}, "messages have 'who'"),
    ],
)
def test_a_row_that_is_not_as_declared(layout, raw, said):
    with pytest.raises(SwiftError) as error:
        layout.rows({**raw, "_where": "f:1"})
    assert str(error.value).startswith("f:1") and said in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a = ", "not valid TOML"),
        (CARD + 'tusk = "x"', "unknown key 'tusk'. Did you mean 'task'"),
        (CARD + "aliases = 'x'", "aliases must not be 'x'"),
        (CARD + "note = 1", "note must not be 1"),
        ('summary = "x"', "neither an id on ModelScope"),
        (CARD + 'modality = ["smell"]', "modality 'smell' is not"),
        (CARD + 'evidence = "sure"', "evidence 'sure' is not"),
        (CARD + 'transform = "magic"', "transform 'magic' is not"),
        (CARD + '[keep]\na = "("', "'(' is no regular expression"),
        (CARD + "[variants.v]\nsplits = []", "data set 'mine:v': splits must name at least one"),
    ],
)
def test_a_card_with_a_mistake(text, said):
    with pytest.raises(SwiftError) as error:
        read_published(text, "mine")
    assert said in str(error.value)
