"""Gemma 4's format, letter by letter. (Their round trip is tested with all formats in tests/.)"""

import inspect

import pytest
from swift_plugin_gemma4_calls import Gemma4

from swift_core.testing import AgentContract

CALLS = [
    {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
    {"name": "get_weather", "arguments": {"city": "Rome", "days": 1}},
]
WRITTEN = [
    (
        Gemma4,
        (
            '<|tool_call>call:get_weather{city:<|"|>Paris<|"|>,days:2}<tool_call|><|tool_call'
            '>call:get_weather{city:<|"|>Rome<|"|>,days:1}<tool_call|><|tool_response>'
        ),
        (
            'response:get_weather{value:<|"|>20<|"|>}<tool_response|><|tool_response>response'
            ':get_weather{value:<|"|>25<|"|>}<tool_response|>'
        ),
    ),
]


def results(form, written):
    """Results as the format frames them; some name the calls that they answer."""
    names = {"calls": CALLS} if "calls" in inspect.signature(form.write_results).parameters else {}
    return form.write_results(results=written, **names)


@pytest.mark.parametrize(("form", "calls", "answered"), WRITTEN)
def test_calls_and_results_are_written_as_the_family_writes_them(form, calls, answered):
    assert form().write_calls(calls=CALLS) == calls
    assert form().read_calls(text=calls) == CALLS
    assert results(form(), ["20", "25"])[0] == answered


class TestGemma4(AgentContract):
    name = "gemma4"
