"""The Hermes format, letter by letter. (Its round trip is tested with all formats in tests/.)"""

from swift_plugin_hermes import Hermes
from swift_testing import AgentContract

FORMAT = Hermes()
CALLS = [
    {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
    {"name": "get_weather", "arguments": {"city": "Rome", "days": 1}},
]
WRITTEN = (
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Rome", "days": 1}}\n</tool_call>'
)


def test_calls_are_json_objects_in_tags():
    assert FORMAT.write_calls(calls=CALLS) == WRITTEN


def test_results_are_one_user_turn():
    assert FORMAT.write_results(results=['{"temp": 20}', '{"temp": 25}']) == (
        '<tool_response>\n{"temp": 20}\n</tool_response>\n<tool_response>\n{"temp": 25}\n</tool_response>',
        False,
    )


def test_a_closing_tag_in_an_argument_does_not_end_the_call():
    call = {"name": "write", "arguments": {"html": "<b>7</b></tool_call>"}}
    text = FORMAT.write_calls(calls=[call])
    assert text.count("</tool_call>") == 1
    assert "<b>7</b>" in text
    assert FORMAT.read_calls(text=text) == [call]


def test_a_call_whose_closing_tag_the_model_left_out_is_read_at_the_end_only():
    assert FORMAT.read_calls(text=WRITTEN.removesuffix("</tool_call>")) == CALLS
    assert FORMAT.read_calls(text='<tool_call>{"name": "a", "arguments": {}} and so on') == []


class TestHermes(AgentContract):
    name = "hermes"
