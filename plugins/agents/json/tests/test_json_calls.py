"""Formats with JSON arguments, letter by letter. (Their round trip is tested with all formats in tests/.)"""

import pytest
from swift_plugin_json_calls import (
    Chatglm4,
    DeepseekV31,
    Glm4,
    GptOss,
    HunyuanHermes,
    KimiK25,
    Llama3,
    Llama4,
    Mistral,
    Youtu,
)
from swift_testing import AgentContract
from swift_testing.contracts_data import assert_letters

WRITTEN = [
    (
        Chatglm4,
        ('get_weather\n{"city": "Paris", "days": 2}<|assistant|>get_weather\n{"city": "Rome", "days": 1}'),
        ("20<|observation|>\n25"),
    ),
    (
        DeepseekV31,
        (
            '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris", '
            '"days": 2}<｜tool▁call▁end｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "R'
            'ome", "days": 1}<｜tool▁call▁end｜><｜tool▁calls▁end｜><｜end▁of▁sentence｜>'
        ),
        ("<｜tool▁output▁begin｜>20<｜tool▁output▁end｜><｜tool▁output▁begin｜>25<｜tool▁output▁end｜>"),
    ),
    (
        Glm4,
        ('get_weather\n{"city": "Paris", "days": 2}<|assistant|>get_weather\n{"city": "Rome", "days": 1}'),
        ("20<|observation|>\n25"),
    ),
    (
        GptOss,
        (
            ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris", '
            '"days": 2}<|call|><|start|>assistant to=functions.get_weather<|channel|>commenta'
            'ry json<|message|>{"city": "Rome", "days": 1}<|call|>'
        ),
        (
            'functions.get_weather to=assistant<|channel|>commentary<|message|>"20"<|end|><|s'
            'tart|>functions.get_weather to=assistant<|channel|>commentary<|message|>"25"'
        ),
    ),
    (
        HunyuanHermes,
        (
            "<tool_calls>\n"
            "<tool_call>\n"
            '{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}\n'
            "</tool_call>\n"
            "<tool_call>\n"
            '{"name": "get_weather", "arguments": {"city": "Rome", "days": 1}}\n'
            "</tool_call>\n"
            "</tool_calls>"
        ),
        ("<tool_responses><tool_response>20</tool_response>\n<tool_response>25</tool_response></tool_responses>"),
    ),
    (
        KimiK25,
        (
            "<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0<|tool_cal"
            'l_argument_begin|>{"city": "Paris", "days": 2}<|tool_call_end|><|tool_call_begin'
            '|>functions.get_weather:1<|tool_call_argument_begin|>{"city": "Rome", "days": 1}'
            "<|tool_call_end|><|tool_calls_section_end|>"
        ),
        (
            "## Return of functions.get_weather:0\n"
            "20<|im_end|><|im_system|>tool<|im_middle|>## Return of functions.get_weather:1\n"
            "25"
        ),
    ),
    (
        Llama3,
        (
            '{"name": "get_weather", "parameters": {"city": "Paris", "days": 2}}\n'
            '{"name": "get_weather", "parameters": {"city": "Rome", "days": 1}}'
        ),
        ('"20"<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n"25"'),
    ),
    (
        Llama4,
        (
            '{"name": "get_weather", "parameters": {"city": "Paris", "days": 2}}\n'
            '{"name": "get_weather", "parameters": {"city": "Rome", "days": 1}}'
        ),
        ('"20"<|eot|><|header_start|>ipython<|header_end|>\n\n"25"'),
    ),
    (
        Mistral,
        (
            '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris", "days": 2}[TOOL_CALLS]get_weather'
            '[ARGS]{"city": "Rome", "days": 1}'
        ),
        ("[TOOL_RESULTS]20[/TOOL_RESULTS][TOOL_RESULTS]25[/TOOL_RESULTS]"),
    ),
    (
        Youtu,
        (
            '<tool_call>{"name": "get_weather", "arguments": {"city": "Paris", "days": 2}}</t'
            'ool_call><tool_call>{"name": "get_weather", "arguments": {"city": "Rome", "days"'
            ": 1}}</tool_call>"
        ),
        ("<tool_response>20</tool_response>\n<tool_response>25</tool_response>"),
    ),
]


@pytest.mark.parametrize(("form", "calls", "answered"), WRITTEN)
def test_calls_and_results_are_written_as_the_family_writes_them(form, calls, answered):
    assert_letters(form(), calls, answered)


class TestChatglm4(AgentContract):
    name = "chatglm4"


class TestDeepseekV31(AgentContract):
    name = "deepseek_v3_1"


class TestGlm4(AgentContract):
    name = "glm4"


class TestGptOss(AgentContract):
    name = "gpt_oss"


class TestHunyuanHermes(AgentContract):
    name = "hunyuan_hermes"


class TestKimiK25(AgentContract):
    name = "kimi_k25"


class TestLlama3(AgentContract):
    name = "llama3"


class TestLlama4(AgentContract):
    name = "llama4"


class TestMistral(AgentContract):
    name = "mistral"


class TestYoutu(AgentContract):
    name = "youtu"
