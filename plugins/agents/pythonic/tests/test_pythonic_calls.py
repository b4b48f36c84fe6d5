"""LFM2's format, letter by letter. (Their round trip is tested with all formats in tests/.)"""

import inspect

import pytest
from swift_plugin_pythonic_calls import Lfm2

from swift_core.testing import AgentContract

CALLS = [
    {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
    {"name": "get_weather", "arguments": {"city": "Rome", "days": 1}},
]
WRITTEN = [
    (
        Lfm2,
        ("<|tool_call_start|>[get_weather(city='Paris', days=2), get_weather(city='Rome', days=1)]<|tool_call_end|>"),
        (
            "<|tool_response_start|>20<|tool_response_end|><|im_end|>\n"
            "<|im_start|>tool\n"
            "<|tool_response_start|>25<|tool_response_end|>"
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


class TestLfm2(AgentContract):
    name = "lfm2"
