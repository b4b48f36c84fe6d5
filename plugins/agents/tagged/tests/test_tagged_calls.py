"""Formats with tags, letter by letter. (Their round trip is tested with all formats in tests/.)"""

import pytest
from swift_plugin_tagged_calls import (
    DeepseekV4,
    DeepseekV41,
    Glm45,
    Glm47,
    Glm51,
    HyV3,
    HyV3Preview,
    KimiK3,
    Ling3,
    Minicpm5,
    MinimaxM2,
    MinimaxM3,
    Nemotron,
    Qwen3Coder,
    Qwen35,
    SeedOss,
    Spark25,
    Xing40,
)
from swift_testing import AgentContract
from swift_testing.contracts_data import assert_letters

WRITTEN = [
    (
        DeepseekV4,
        (
            "<｜DSML｜tool_calls>\n"
            '<｜DSML｜invoke name="get_weather">\n'
            '<｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>\n'
            '<｜DSML｜parameter name="days" string="false">2</｜DSML｜parameter>\n'
            "</｜DSML｜invoke>\n"
            '<｜DSML｜invoke name="get_weather">\n'
            '<｜DSML｜parameter name="city" string="true">Rome</｜DSML｜parameter>\n'
            '<｜DSML｜parameter name="days" string="false">1</｜DSML｜parameter>\n'
            "</｜DSML｜invoke>\n"
            "</｜DSML｜tool_calls>"
        ),
        ("<tool_result>20</tool_result>\n\n<tool_result>25</tool_result>"),
    ),
    (
        DeepseekV41,
        (
            "<｜DSML｜ calls>\n"
            '<｜DSML｜ invoke name="get_weather">\n'
            '<｜DSML｜ parameter name="city" string="true">Paris</｜DSML｜ parameter>\n'
            '<｜DSML｜ parameter name="days" string="false">2</｜DSML｜ parameter>\n'
            "</｜DSML｜ invoke>\n"
            '<｜DSML｜ invoke name="get_weather">\n'
            '<｜DSML｜ parameter name="city" string="true">Rome</｜DSML｜ parameter>\n'
            '<｜DSML｜ parameter name="days" string="false">1</｜DSML｜ parameter>\n'
            "</｜DSML｜ invoke>\n"
            "</｜DSML｜ calls>"
        ),
        ("<tool_result>20</tool_result>\n\n<tool_result>25</tool_result>"),
    ),
    (
        Glm45,
        (
            "<tool_call>get_weather\n"
            "<arg_key>city</arg_key>\n"
            "<arg_value>Paris</arg_value>\n"
            "<arg_key>days</arg_key>\n"
            "<arg_value>2</arg_value>\n"
            "</tool_call>\n"
            "<tool_call>get_weather\n"
            "<arg_key>city</arg_key>\n"
            "<arg_value>Rome</arg_value>\n"
            "<arg_key>days</arg_key>\n"
            "<arg_value>1</arg_value>\n"
            "</tool_call>"
        ),
        ("<tool_response>\n20\n</tool_response>\n<tool_response>\n25\n</tool_response>"),
    ),
    (
        Glm47,
        (
            "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_ke"
            "y>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>get_weather<arg_k"
            "ey>city</arg_key><arg_value>Rome</arg_value><arg_key>days</arg_key><arg_value>1<"
            "/arg_value></tool_call>"
        ),
        ("<tool_response>20</tool_response><tool_response>25</tool_response>"),
    ),
    (
        Glm51,
        (
            "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_ke"
            "y>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>get_weather<arg_k"
            "ey>city</arg_key><arg_value>Rome</arg_value><arg_key>days</arg_key><arg_value>1<"
            "/arg_value></tool_call>"
        ),
        ("<tool_response>20</tool_response><tool_response>25</tool_response>"),
    ),
    (
        HyV3,
        (
            "<tool_calls:opensource>\n"
            "<tool_call:opensource>get_weather<tool_sep:opensource>\n"
            "<arg_key:opensource>city</arg_key:opensource>\n"
            "<arg_value:opensource>Paris</arg_value:opensource>\n"
            "<arg_key:opensource>days</arg_key:opensource>\n"
            "<arg_value:opensource>2</arg_value:opensource>\n"
            "</tool_call:opensource>\n"
            "<tool_call:opensource>get_weather<tool_sep:opensource>\n"
            "<arg_key:opensource>city</arg_key:opensource>\n"
            "<arg_value:opensource>Rome</arg_value:opensource>\n"
            "<arg_key:opensource>days</arg_key:opensource>\n"
            "<arg_value:opensource>1</arg_value:opensource>\n"
            "</tool_call:opensource>\n"
            "</tool_calls:opensource>"
        ),
        (
            "<tool_responses:opensource>\n"
            "<tool_response:opensource>\n"
            "20\n"
            "</tool_response:opensource>\n"
            "<tool_response:opensource>\n"
            "25\n"
            "</tool_response:opensource>\n"
            "</tool_responses:opensource>"
        ),
    ),
    (
        HyV3Preview,
        (
            "<tool_calls>\n"
            "<tool_call>get_weather<tool_sep>\n"
            "<arg_key>city</arg_key>\n"
            "<arg_value>Paris</arg_value>\n"
            "<arg_key>days</arg_key>\n"
            "<arg_value>2</arg_value>\n"
            "</tool_call>\n"
            "<tool_call>get_weather<tool_sep>\n"
            "<arg_key>city</arg_key>\n"
            "<arg_value>Rome</arg_value>\n"
            "<arg_key>days</arg_key>\n"
            "<arg_value>1</arg_value>\n"
            "</tool_call>\n"
            "</tool_calls>"
        ),
        (
            "<tool_responses>\n"
            "<tool_response>\n"
            "20\n"
            "</tool_response>\n"
            "<tool_response>\n"
            "25\n"
            "</tool_response>\n"
            "</tool_responses>"
        ),
    ),
    (
        KimiK3,
        (
            '<|open|>tools<|sep|><|open|>call tool="get_weather" index="1"<|sep|><|open|>argu'
            'ment key="city" type="string"<|sep|>Paris<|close|>argument<|sep|><|open|>argumen'
            't key="days" type="number"<|sep|>2<|close|>argument<|sep|><|close|>call<|sep|><|'
            'open|>call tool="get_weather" index="2"<|sep|><|open|>argument key="city" type="'
            'string"<|sep|>Rome<|close|>argument<|sep|><|open|>argument key="days" type="numb'
            'er"<|sep|>1<|close|>argument<|sep|><|close|>call<|sep|><|close|>tools<|sep|>'
        ),
        (
            'tool="get_weather" index="1"<|sep|>20<|close|>message<|sep|><|end_of_msg|><|open'
            '|>message role="tool" tool="get_weather" index="2"<|sep|>25'
        ),
    ),
    (
        Ling3,
        (
            "<tool_call>get_weather<arg_key>city</arg_key>\n"
            "<arg_value>Paris</arg_value><arg_key>days</arg_key>\n"
            "<arg_value>2</arg_value>\n"
            "</tool_call>\n"
            "<tool_call>get_weather<arg_key>city</arg_key>\n"
            "<arg_value>Rome</arg_value><arg_key>days</arg_key>\n"
            "<arg_value>1</arg_value>\n"
            "</tool_call>"
        ),
        ("\n<tool_response>\n20\n</tool_response>\n<tool_response>\n25\n</tool_response>"),
    ),
    (
        Minicpm5,
        (
            '<function name="get_weather"><param name="city">Paris</param><param name="days">'
            "2</param></function>\n"
            '<function name="get_weather"><param name="city">Rome</param><param name="days">1'
            "</param></function>"
        ),
        ("<tool_response>\n20\n</tool_response>\n<tool_response>\n25\n</tool_response>"),
    ),
    (
        MinimaxM2,
        (
            "<minimax:tool_call>\n"
            '<invoke name="get_weather">\n'
            '<parameter name="city">Paris</parameter>\n'
            '<parameter name="days">2</parameter>\n'
            "</invoke>\n"
            '<invoke name="get_weather">\n'
            '<parameter name="city">Rome</parameter>\n'
            '<parameter name="days">1</parameter>\n'
            "</invoke>\n"
            "</minimax:tool_call>"
        ),
        ("<response>20</response>\n<response>25</response>"),
    ),
    (
        MinimaxM3,
        (
            "]<]minimax[>[<tool_call>\n"
            ']<]minimax[>[<invoke name="get_weather">]<]minimax[>[<city>Paris]<]minimax[>[</c'
            "ity>]<]minimax[>[<days>2]<]minimax[>[</days>]<]minimax[>[</invoke>\n"
            ']<]minimax[>[<invoke name="get_weather">]<]minimax[>[<city>Rome]<]minimax[>[</ci'
            "ty>]<]minimax[>[<days>1]<]minimax[>[</days>]<]minimax[>[</invoke>\n"
            "]<]minimax[>[</tool_call>"
        ),
        ("<response>20</response>\n<response>25</response>"),
    ),
    (
        Nemotron,
        (
            "\n"
            "<tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>\n"
            "Paris\n"
            "</parameter>\n"
            "<parameter=days>\n"
            "2\n"
            "</parameter>\n"
            "</function>\n"
            "</tool_call>\n"
            "<tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>\n"
            "Rome\n"
            "</parameter>\n"
            "<parameter=days>\n"
            "1\n"
            "</parameter>\n"
            "</function>\n"
            "</tool_call>\n"
        ),
        ("<tool_response>\n20\n</tool_response>\n<tool_response>\n25\n</tool_response>\n"),
    ),
    (
        Qwen35,
        (
            "<tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>\n"
            "Paris\n"
            "</parameter>\n"
            "<parameter=days>\n"
            "2\n"
            "</parameter>\n"
            "</function>\n"
            "</tool_call>\n"
            "<tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>\n"
            "Rome\n"
            "</parameter>\n"
            "<parameter=days>\n"
            "1\n"
            "</parameter>\n"
            "</function>\n"
            "</tool_call>"
        ),
        ("<tool_response>\n20\n</tool_response>\n<tool_response>\n25\n</tool_response>"),
    ),
    (
        Qwen3Coder,
        (
            "<tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>\n"
            "Paris\n"
            "</parameter>\n"
            "<parameter=days>\n"
            "2\n"
            "</parameter>\n"
            "</function>\n"
            "</tool_call>\n"
            "<tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>\n"
            "Rome\n"
            "</parameter>\n"
            "<parameter=days>\n"
            "1\n"
            "</parameter>\n"
            "</function>\n"
            "</tool_call>"
        ),
        ("<tool_response>\n20\n</tool_response>\n<tool_response>\n25\n</tool_response>\n"),
    ),
    (
        SeedOss,
        (
            "<seed:tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>Paris</parameter>\n"
            "<parameter=days>2</parameter>\n"
            "</function>\n"
            "</seed:tool_call>\n"
            "<seed:tool_call>\n"
            "<function=get_weather>\n"
            "<parameter=city>Rome</parameter>\n"
            "<parameter=days>1</parameter>\n"
            "</function>\n"
            "</seed:tool_call>"
        ),
        ("20<seed:eos><seed:bos>tool\n25"),
    ),
    (
        Spark25,
        (
            "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value><arg_ke"
            "y>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>get_weather<arg_k"
            "ey>city</arg_key><arg_value>Rome</arg_value><arg_key>days</arg_key><arg_value>1<"
            "/arg_value></tool_call>"
        ),
        ("<tool_response>20</tool_response><tool_response>25</tool_response>"),
    ),
    (
        Xing40,
        (
            "<tool_call>get_weather<param_key>city</param_key><param_value>Paris</param_value"
            "><param_key>days</param_key><param_value>2</param_value></tool_call><tool_call>g"
            "et_weather<param_key>city</param_key><param_value>Rome</param_value><param_key>d"
            "ays</param_key><param_value>1</param_value></tool_call>"
        ),
        ("<tool_response>20</tool_response><tool_response>25</tool_response>"),
    ),
]


@pytest.mark.parametrize(("form", "calls", "answered"), WRITTEN)
def test_calls_and_results_are_written_as_the_family_writes_them(form, calls, answered):
    assert_letters(form(), calls, answered)


class TestDeepseekV4(AgentContract):
    name = "deepseek_v4"


class TestDeepseekV41(AgentContract):
    name = "deepseek_v41"


class TestGlm45(AgentContract):
    name = "glm4_5"


class TestGlm47(AgentContract):
    name = "glm4_7"


class TestGlm51(AgentContract):
    name = "glm5_1"


class TestHyV3(AgentContract):
    name = "hy_v3"


class TestHyV3Preview(AgentContract):
    name = "hy_v3_preview"


class TestKimiK3(AgentContract):
    name = "kimi_k3"


class TestLing3(AgentContract):
    name = "ling3"


class TestMinicpm5(AgentContract):
    name = "minicpm5"


class TestMinimaxM2(AgentContract):
    name = "minimax_m2"


class TestMinimaxM3(AgentContract):
    name = "minimax_m3"


class TestNemotron(AgentContract):
    name = "nemotron"


class TestQwen35(AgentContract):
    name = "qwen3_5"


class TestQwen3Coder(AgentContract):
    name = "qwen3_coder"


class TestSeedOss(AgentContract):
    name = "seed_oss"


class TestSpark25(AgentContract):
    name = "spark2_5"


class TestXing40(AgentContract):
    name = "xing4_0"


# -- texts that read like something else -----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Paris", "Paris"),
        (2, "2"),
        ("2", '"2"'),
        ("true", '"true"'),
        (True, "true"),
        (None, "null"),
        ("null", '"null"'),
        (" two ", " two "),
        ("[1, 2]", '"[1, 2]"'),
        ([1, {"a": "b"}], '[1, {"a": "b"}]'),
        ("a </parameter> b", '"a \\u003c/parameter> b"'),
    ],
)
def test_a_text_that_reads_like_json_is_written_as_json(value, written):
    call = [{"name": "f", "arguments": {"x": value}}]
    text = Qwen3Coder().write_calls(calls=call)
    assert f"<parameter=x>\n{written}\n</parameter>" in text
    assert Qwen3Coder().read_calls(text=text) == call


def test_a_format_that_names_the_type_writes_every_text_as_it_is():
    text = DeepseekV4().write_calls(calls=[{"name": "f", "arguments": {"zip": "01234", "n": 5}}])
    assert 'name="zip" string="true">01234<' in text and 'name="n" string="false">5<' in text


def test_nested_values_are_tags_inside_tags():
    call = [{"name": "f", "arguments": {"at": {"x": 1, "tags": ["a", {"b": None}]}}}]
    text = MinimaxM3().write_calls(calls=call)
    plain = text.replace("]<]minimax[>[", "")
    assert "<at><x>1</x><tags><item>a</item><item><b>null</b></item></tags></at>" in plain
    assert MinimaxM3().read_calls(text=text) == call
