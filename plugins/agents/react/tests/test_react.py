"""The ReAct format, letter by letter. (Its round trip is tested with all formats in tests/.)"""

import pytest
from swift_plugin_react import QwenEn, QwenEnParallel, QwenZh, QwenZhParallel, React, ReactGrpo, ReactZh, ToolBench
from swift_testing import AgentContract

FORMAT = React()
TOOL = {"type": "function", "function": {"name": "find", "description": "Find.", "parameters": {"type": "object"}}}
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


@pytest.mark.parametrize(("form", "word"), [(ReactZh, "现在开始"), (ReactGrpo, "<think>"), (ToolBench, "Finish")])
def test_variants_differ_in_their_introduction_alone(form, word):
    texts = [f.write_tools(tools=[TOOL], system="") for f in (form(), FORMAT)]
    assert [word in text for text in texts] == [True, False]
    assert form().write_calls(calls=CALLS) == WRITTEN


@pytest.mark.parametrize("form", [QwenEn, QwenZh, QwenEnParallel, QwenZhParallel])
def test_qwens_own_keywords(form):
    text = form().write_calls(calls=CALLS[:1])
    assert text == '✿FUNCTION✿: get_weather\n✿ARGS✿: {"city": "Paris", "days": 2}\n✿RESULT✿:'
    assert form().read_calls(text=text) == CALLS[:1]
    assert form().write_results(results=["20", "25"]) == ("20\n✿RESULT✿:25\n", True)
    assert "[find]" in form().write_tools(tools=[TOOL], system="")
