"""Agent formats: every installed one writes valid JSON, reads back what it wrote, and never fails on any text."""

import re
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from swift_plugin_runtime.inference.forms import Forms
from swift_testing.templates import byte_level, special_tokens
from swift_testing.templates import job_with as job_of_template

from swift_core import SwiftError
from swift_core.catalogue.entries import Catalogue
from swift_core.contract.row import Row
from swift_core.inference.forced import forced_calls
from swift_core.job.job import PreparedJob
from swift_core.job.selected import Selected
from swift_core.job.specs import find_job
from swift_core.jobs.options import TrainOptions
from swift_core.templates.encode import IGNORED, encode_spans
from swift_core.templates.render import spans_of

ENTRIES = Catalogue.installed().of_kind("agent")
FORMATS = sorted({entry.load(): entry.name for entry in ENTRIES}.values())
UNMARKED = {"chatglm4", "glm4"}
"""Formats whose calls have no mark of their own: a name on a line and an object on the next are a call."""
TAGGED = {"glm4_5", "glm4_7", "glm5_1", "ling3", "spark2_5", "xing4_0"}
NAME_ALONE = re.compile("<tool_call>.*</tool_call>", re.DOTALL)
"""A whole call without arguments in the formats TAGGED, which ask nothing of a name."""

assert {"hermes", "react"} <= {entry.name for entry in ENTRIES}

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
    return PreparedJob(find_job("sft"), TrainOptions(), [Selected(entry, name, "test", entry.load()())])


JOBS = {name: job_with(name) for name in FORMATS}


def write(name, calls):
    return JOBS[name].hook.write_calls(job=JOBS[name], calls=calls)


def read(name, text):
    return JOBS[name].hook.read_calls(job=JOBS[name], text=text)


@settings(max_examples=80, deadline=None)
@given(CALLS, st.sampled_from(["", "Let me look.\n", "Thought: I need a tool {now}.\n", "Observation: odd\n"]))
@example([EMPTY], "")
@example([EMPTY, EMPTY], "")
def test_what_is_written_is_read_back(calls, words):
    """Every format on the same calls: making them costs more than writing and reading."""
    for name in FORMATS:
        assert read(name, words + write(name, calls)) == calls, name


@settings(max_examples=60, deadline=None)
@given(st.lists(NASTY | st.text(max_size=5) | st.just("[" * 5000) | st.just('{"name": 1, "arguments": 2}'), max_size=8))
@example(['<tool_call>\n{"name": "a", "arguments": {', "}"])
@example(['<tool_call>\n{"name": ["a"], "arguments": {}}\n</tool_call>'])
@example(['<tool_call>\n["a"]\n</tool_call>'])
@example(["Action: a\nAction Input: {'single': 'quotes'}"])
@example(["Action: a\nAction Input: [1]"])
@example(["Action: a\nAction Input:"])
@example(["<tool_call>a<arg_key>b</arg_key><arg_value>c</tool_call>"])
@example(["<tool_call>\n<function=a>\n<parameter=b>\nc\n</function>\n</tool_call>"])
@example(["<tool_call>", "[" * 5000, "</tool_call>"])
@example([" " * 3000, "{" * 3000, "<" * 3000])
def test_text_without_a_whole_call_holds_none(pieces):
    text = "".join(pieces)
    for name in FORMATS:
        found = read(name, text)
        assert all(isinstance(c["name"], str) and isinstance(c["arguments"], dict) for c in found), name
        assert found == [] or "rm" in text or name in UNMARKED or (name in TAGGED and NAME_ALONE.search(text)), name


@settings(max_examples=20, deadline=None)
@given(CALLS)
def test_a_torn_call_is_no_call(calls):
    """Whatever is cut off, no call comes out that was not written."""
    for name in FORMATS:
        text = write(name, calls)
        found = read(name, text[: len(text) // 2])
        assert found == calls[: len(found)] and len(found) <= len(calls), name


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}])
def test_arguments_that_json_cannot_hold_are_refused(name, value):
    with pytest.raises(SwiftError, match="cannot be written as JSON"):
        write(name, [{"name": "a", "arguments": {"x": value}}])


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("system", ["", "You are terse."])
def test_the_introduction_holds_the_system_text_and_every_schema(name, system):
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {
        "type": "function",
        "function": {"name": "get_weather", "description": "Weather!", "parameters": parameters},
    }
    other = {"type": "function", "function": {**tool["function"], "name": "get_news", "description": "News!"}}
    text = JOBS[name].hook.write_tools(job=JOBS[name], tools=[tool, other], system=system)
    assert not text[:1].isspace()
    for word in (system, "get_weather", "Weather!", "get_news", "News!"):
        assert word in text
    assert text.count("city") >= 2 and text.upper().count("STR") >= 2


# -- the whole of it in a conversation ------------------------------------------------------------------------
TOOL = {"type": "function", "function": {"name": "find", "description": "Find.", "parameters": {"type": "object"}}}
CHAT = [
    {"role": "system", "content": "Be kind."},
    {"role": "user", "content": "Where?"},
    {"role": "assistant", "content": "", "tool_calls": [{"name": "find", "arguments": {"x": 1}}] * 2},
    {"role": "tool", "content": "result one"},
    {"role": "tool", "content": "result two"},
    {"role": "assistant", "content": "There."},
]
NAMED = {entry.name for entry in ENTRIES}
TEMPLATES = {e.name: e for e in Catalogue.installed().of_kind("template")}
OWN = sorted({t.agent: n for n, e in TEMPLATES.items() for t in [e.load()] if t.agent in NAMED}.values())


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level(special_tokens(TEMPLATES[name].load() for name in OWN))


@pytest.mark.parametrize("template", OWN)
def test_every_step_of_a_conversation_begins_as_it_was_trained(template, tokenizer):
    """Each prompt, with tools, calls and results, is how the training row begins; calls and answers are trained."""
    chosen = TEMPLATES[template].load()
    job = job_of_template(chosen, agent=chosen.agent, loss_scale="default", enable_thinking=False)
    whole = encode_spans(tokenizer, [spans_of(job, Row(messages=CHAT, tools=[TOOL]), tokenizer)])[0]
    for upto in (2, 5):
        row = Row(messages=CHAT[:upto], tools=[TOOL])
        prompt = encode_spans(tokenizer, [spans_of(job, row, tokenizer, generation=True)])[0]["input_ids"]
        assert whole["input_ids"][: len(prompt)] == prompt
    trained = tokenizer.decode([i for i in whole["labels"] if i != IGNORED])
    read = job.hook.read_calls(job=job, text=trained.partition("There.")[0])
    assert read == CHAT[2]["tool_calls"]
    assert "There." in trained and "result" not in trained and "Where?" not in trained


def test_every_template_that_names_a_format_finds_it():
    named = {name: entry.load().agent for name, entry in TEMPLATES.items()}
    assert {n: a for n, a in named.items() if a not in NAMED} == {}


# -- forced calls ------------------------------------------------------------------------------------------------
WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"function": {"name": "get_weather", "parameters": WEATHER}}, {"function": {"name": "now"}}]
FORCED = [{"name": "get_weather", "arguments": {"city": 'Paris "<x>"'}}, EMPTY]
NO_JSON = {
    "deepseek_v4", "deepseek_v41", "gemma4", "glm4_5", "glm4_7", "glm5_1", "hy_v3", "hy_v3_preview", "kimi_k3", "lfm2",
    "lfm2_5", "ling3", "minicpm5", "minimax_m2", "minimax_m3", "nemotron", "qwen3_5", "qwen3_coder", "seed_oss",
    "spark2_5", "xing4_0",
}  # fmt: skip
"""Formats that write arguments otherwise: in tags, as Python, in a notation of their own."""
SPECIAL = (
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<|tool_call_begin|>",
    "[TOOL_CALLS]",
    "<|message|>",
    "<|call|>",
)


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in NO_JSON])
def test_a_call_can_be_forced_where_arguments_are_json(name, special):
    tokenizer = byte_level(SPECIAL if special else ())
    forms = Forms(tokenizer, len(tokenizer), [tokenizer.eos_token_id])

    def keeps(guide, text):
        """Whether an answer may begin so."""
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        return forms.form(guide, []).matcher.deep_copy().validate_tokens(ids) == len(ids)

    guide = forced_calls(JOBS[name], TOOLS, several=True)
    for calls in (FORCED[:1], FORCED[1:], FORCED, FORCED * 2):
        assert keeps(guide, write(name, calls)) == (len(calls) == 1 or name != "kimi_k25"), "which numbers its calls"
    assert not keeps(forced_calls(JOBS[name], TOOLS, several=False), write(name, FORCED))
    one, other = ({"name": "get_weather", "arguments": {key: "Paris"}} for key in ("city", "town"))
    assert keeps(guide, write(name, [one])) and not keeps(guide, write(name, [other])) and not keeps(guide, "Well.")
    if name in UNMARKED:
        with pytest.raises(SwiftError, match="no mark of their own"):
            forced_calls(JOBS[name], TOOLS, several=True, free=True)
        return
    free = forced_calls(JOBS[name], TOOLS, several=True, free=True)
    assert keeps(free, "Well. No call.") and keeps(free, "Well. " + write(name, [one]))
    assert not keeps(free, "Well. " + write(name, [other]))


@pytest.mark.parametrize("name", sorted(NO_JSON))
def test_a_call_is_not_forced_where_they_are_not(name):
    with pytest.raises(SwiftError, match=f"the agent format '{name}' does not write arguments as JSON"):
        forced_calls(JOBS[name], TOOLS, several=True)
