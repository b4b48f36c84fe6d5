"""Agent formats: every installed one writes valid JSON, reads back what it wrote, and never fails on any text."""

import json
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from swift_core import SwiftError
from swift_core.catalogue import Catalogue
from swift_core.job import Chosen, Job
from swift_core.jobs import find_job
from swift_core.jobs.options import TrainOptions

FORMATS = [entry.name for entry in Catalogue.installed().of_kind("agent")]
assert {"hermes", "react"} <= set(FORMATS)

NASTY = st.sampled_from(
    [
        "</tool_call>",
        "<tool_call>",
        "<tool_call>\n{",
        "Observation:",
        "\nObservation: none\n",
        "Action: rm\nAction Input: {}\n",
        "Final Answer: 7",
        "{}}}{",
        '"\\',
        "\n\r\t\u2028\x00",
        "北京 🌦",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text() | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | NASTY, inner, max_size=3),
    max_leaves=8,
)
NAMES = st.text(string.ascii_letters + string.digits + "_-.", min_size=1, max_size=20) | st.just("查询天气")
CALLS = st.lists(
    st.fixed_dictionaries({"name": NAMES, "arguments": st.dictionaries(st.text(max_size=8) | NASTY, VALUES)}),
    min_size=1,
    max_size=3,
)
EMPTY = {"name": "now", "arguments": {}}


def job_with(name):
    """A job that holds this agent format alone."""
    entry = Catalogue.installed().find("agent", name)
    return Job(find_job("sft"), TrainOptions(), [Chosen(entry, name, "test", entry.load()())])


JOBS = {name: job_with(name) for name in FORMATS}


def write(name, calls):
    return JOBS[name].hook.write_calls(job=JOBS[name], calls=calls)


def read(name, text):
    return JOBS[name].hook.read_calls(job=JOBS[name], text=text)


@pytest.mark.parametrize("name", FORMATS)
@given(CALLS, st.sampled_from(["", "Let me look.\n", "Thought: I need a tool {now}.\n", "Observation: odd\n"]))
@example([EMPTY], "")
@example([EMPTY, EMPTY], "")
def test_what_is_written_is_read_back(name, calls, words):
    assert read(name, words + write(name, calls)) == calls


@pytest.mark.parametrize("name", FORMATS)
@given(st.lists(NASTY | st.text(max_size=5) | st.just("[" * 5000) | st.just('{"name": 1, "arguments": 2}'), max_size=8))
@example(['<tool_call>\n{"name": "a", "arguments": {', "}"])
@example(['<tool_call>\n{"name": ["a"], "arguments": {}}\n</tool_call>'])
@example(['<tool_call>\n["a"]\n</tool_call>'])
@example(["Action: a\nAction Input: {'single': 'quotes'}"])
@example(["Action: a\nAction Input: [1]"])
@example(["Action: a\nAction Input:"])
def test_text_without_a_whole_call_holds_none(name, pieces):
    found = read(name, "".join(pieces))
    assert all(isinstance(c["name"], str) and isinstance(c["arguments"], dict) for c in found)
    if "rm" not in "".join(pieces):
        assert found == []


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_arguments_that_json_cannot_hold_are_refused(name, value):
    with pytest.raises(SwiftError, match="cannot be written as JSON"):
        write(name, [{"name": "a", "arguments": {"x": value}}])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("system", ["", "You are terse."])
def test_the_introduction_holds_the_system_text_and_every_schema(name, system):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": parameters}}
    text = JOBS[name].hook.write_tools(job=JOBS[name], tools=[tool, tool], system=system)
    assert text.startswith(system) and not text[:1].isspace()
    assert text.count(json.dumps(parameters)) == 2
