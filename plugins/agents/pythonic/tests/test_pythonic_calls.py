"""LFM2's format, letter by letter. (Their round trip is tested with all formats in tests/.)"""

import pytest
from swift_plugin_pythonic_calls import Lfm2, Lfm25
from swift_testing import AgentContract
from swift_testing.contracts_data import assert_letters

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
    (
        Lfm25,
        ("<|tool_call_start|>[get_weather(city='Paris', days=2), get_weather(city='Rome', days=1)]<|tool_call_end|>"),
        "20<|im_end|>\n<|im_start|>tool\n25",
    ),
]


@pytest.mark.parametrize(("form", "calls", "answered"), WRITTEN)
def test_calls_and_results_are_written_as_the_family_writes_them(form, calls, answered):
    assert_letters(form(), calls, answered)


class TestLfm2(AgentContract):
    name = "lfm2"


class TestLfm25(AgentContract):
    name = "lfm2_5"
