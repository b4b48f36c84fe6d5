"""The ReAct format, letter by letter. (Its round trip is tested with all formats in tests/.)"""

from swift_plugin_react import React

from swift_core.testing import AgentContract

FORMAT = React()
CALLS = [
    {"name": "get_weather", "arguments": {"city": "Paris", "days": 2}},
    {"name": "get_weather", "arguments": {"city": "Rome", "days": 1}},
]
WRITTEN = (
    'Action: get_weather\nAction Input: {"city": "Paris", "days": 2}\n'
    'Action: get_weather\nAction Input: {"city": "Rome", "days": 1}\nObservation:'
)


def test_calls_are_lines_and_end_where_the_observation_begins():
    assert FORMAT.write_calls(calls=CALLS) == WRITTEN


def test_results_go_on_inside_the_turn():
    assert FORMAT.write_results(results=['{"temp": 20}', '{"temp": 25}']) == (
        '{"temp": 20}\nObservation:{"temp": 25}\n',
        True,
    )


def test_calls_behind_an_observation_that_the_model_made_up_do_not_count():
    text = WRITTEN + " sunny\nThought: on\nAction: get_weather\nAction Input: {}\nObservation:"
    assert FORMAT.read_calls(text=text) == CALLS


def test_a_call_between_words_is_found():
    text = 'Thought: I should look.\nAction:  get_weather \nAction Input: {"city": "Oslo"} (that is in Norway)'
    assert FORMAT.read_calls(text=text) == [{"name": "get_weather", "arguments": {"city": "Oslo"}}]


class TestReact(AgentContract):
    name = "react"
