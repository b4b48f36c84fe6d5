"""Gemma 4's format, letter by letter. (Their round trip is tested with all formats in tests/.)"""

import pytest
from swift_plugin_gemma4_calls import Gemma4
from swift_testing import AgentContract
from swift_testing.contracts_data import assert_letters

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


@pytest.mark.parametrize(("form", "calls", "answered"), WRITTEN)
def test_calls_and_results_are_written_as_the_family_writes_them(form, calls, answered):
    assert_letters(form(), calls, answered)


class TestGemma4(AgentContract):
    name = "gemma4"
