"""The tables, and that each weight reaches exactly the text it is meant for."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from swift_plugin_agent_scales import (
    AgentFlan,
    AgentScale,
    AlphaUmi,
    Hermes,
    IgnoreEmptyThink,
    IgnoreThinkPrefix,
    Qwen,
    React,
)
from swift_testing import LossScaleContract
from swift_testing.tiny import build_tokenizer

from swift_core.templates.encode import IGNORED, encode_spans
from swift_core.templates.plain_text import GUARD
from swift_core.templates.render import Span

SCALES = [AgentFlan, AlphaUmi, Hermes, IgnoreEmptyThink, IgnoreThinkPrefix, Qwen, React]
CALL = 'Thought: look\nAction: find\nAction Input: {"q": "cat"}\nObservation:'


def weigh(scale, text, role="assistant", last=True, query="?"):
    return scale.weigh(role=role, text=text, last=last, query=query)


def test_table_14_weighs_the_content_of_calls_and_the_word_observation():
    assert weigh(AgentFlan(), CALL) == [
        ("Thought:", 1.0),
        (" look\n", 1.0),
        ("Action:", 1.0),
        (" find\n", 3.0),
        ("Action Input:", 1.0),
        (' {"q": "cat"}\n', 3.0),
        ("Observation:", 2.0),
    ]


@pytest.mark.parametrize("keyword", ["Name:", "ACTION:", "Tool:", "Command", "Arguments:", "action input"])
def test_table_14_knows_the_other_names_of_a_call(keyword):
    assert weigh(AgentFlan(), f"{keyword} x") == [(keyword, 1.0), (" x", 3.0)]


@pytest.mark.parametrize(
    "query",
    [
        "What is the tool you want to use?",
        "What are the required parameter names for this tool?",
        "Now: What is the value of city?",
    ],
)
def test_table_14_weighs_the_whole_answer_to_questions_about_a_call(query):
    assert weigh(AgentFlan(), "Action: find", query=query) == [("Action: find", 3.0)]


def test_react_doubles_actions_and_drops_observations_written_into_an_answer():
    assert weigh(React(), CALL + " a cat\nFinal Answer: yes") == [
        ("Thought:", 1.0),
        (" look\n", 1.0),
        ("Action:", 2.0),
        (" find\n", 2.0),
        ("Action Input:", 2.0),
        (' {"q": "cat"}\n', 2.0),
        ("Observation:", 2.0),
        (" a cat\n", 0.0),
        ("Final Answer:", 1.0),
        (" yes", 1.0),
    ]
    assert weigh(React(), "Next: caller") == [("Next: caller", 1.0)]
    assert weigh(AlphaUmi(), "Next: caller") == [("Next:", 2.0), (" caller", 2.0)]


def test_a_keyword_inside_the_arguments_is_data():
    text = 'Action Input: {"q": "Observation: Thought:"}\nObservation:'
    assert weigh(React(), text) == [
        ("Action Input:", 2.0),
        (' {"q": "Observation: Thought:"}\n', 2.0),
        ("Observation:", 2.0),
    ]


def test_hermes_doubles_whole_calls():
    calls = '<tool_call>\n{"name": "a"}\n</tool_call>', '<tool_call>\n{"name": "b"}\n</tool_call>'
    assert weigh(Hermes(), f"Wait.\n{calls[0]}\n{calls[1]}") == [
        ("Wait.\n", 1.0),
        (calls[0], 2.0),
        ("\n", 1.0),
        (calls[1], 2.0),
    ]


def test_qwen_doubles_function_and_arguments():
    assert weigh(Qwen(), "✿FUNCTION✿: a\n✿ARGS✿: {}\n✿RESULT✿: 7\n✿RETURN✿: ok") == [
        ("✿FUNCTION✿:", 2.0),
        (" a\n", 2.0),
        ("✿ARGS✿:", 2.0),
        (" {}\n", 2.0),
        ("✿RESULT✿:", 2.0),
        (" 7\n", 0.0),
        ("✿RETURN✿:", 1.0),
        (" ok", 1.0),
    ]


def test_only_an_empty_thought_at_the_start_is_ignored():
    assert weigh(IgnoreEmptyThink(), "<think>\n\n</think>\n\nYes.") == [("<think>\n\n</think>\n\n", 0.0), ("Yes.", 1.0)]
    assert weigh(IgnoreEmptyThink(), "</think>Yes.") == [("</think>", 0.0), ("Yes.", 1.0)]
    for text in ("<think>hm</think>\nYes.", "Yes.\n<think>\n</think>"):
        assert weigh(IgnoreEmptyThink(), text) == [(text, 1.0)]


def test_the_tag_that_opens_a_thought_is_ignored():
    assert weigh(IgnoreThinkPrefix(), "<think>\nhm</think>Yes.") == [("<think>\n", 0.0), ("hm</think>Yes.", 1.0)]
    assert weigh(IgnoreThinkPrefix(), "Yes. <think>") == [("Yes. <think>", 1.0)]


def test_the_base_says_which_turns_are_trained():
    assert weigh(React(), CALL, role="user") == [(CALL, 0.0)]
    assert weigh(React(), CALL, last=False)[-1] == ("Observation:", 2.0)
    assert weigh(React(loss_scale_base="last_round"), CALL, last=False) == [(CALL, 0.0)]
    assert weigh(React(loss_scale_base="last_round"), CALL)[-1] == ("Observation:", 2.0)
    assert weigh(React(loss_scale_base="all"), CALL, role="user") == [(CALL, 1.0)]


KEYWORDS = [*AgentFlan.table.keywords, *Qwen.table.keywords, "<tool_call>", "</tool_call>", "<think>", "</think>"]
TEXTS = st.lists(st.sampled_from([*KEYWORDS, '{"a": "Action:"}', "{", "\n", " "]) | st.text(max_size=4)).map("".join)


@pytest.mark.parametrize("scale", SCALES)
@given(TEXTS, st.sampled_from(["assistant", "user"]), st.booleans())
def test_the_pieces_join_to_the_text(scale, text, role, last):
    pieces = weigh(scale(), text, role, last)
    assert "".join(piece for piece, _ in pieces) == text
    assert all(weight >= 0 for _, weight in pieces)


@pytest.fixture(scope="module")
def tokenizer():
    """A tokenizer whose tokens reach over the borders of keywords."""
    texts = [f"{k} find it now" for k in KEYWORDS] + ["n: find", ": find", "ion: {"]
    return build_tokenizer(texts * 3, ("<pad>",), vocab_size=600)


@pytest.mark.parametrize("scale", [AgentFlan, Hermes, Qwen, React])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=TEXTS.filter(lambda text: GUARD not in text))  # rows that hold a guard are refused before
def test_every_token_has_the_largest_weight_of_its_characters(scale, text, tokenizer):
    """The oracle counts characters one by one."""
    pieces = weigh(scale(), "x" + text)
    spans = [Span("Ask|", 0.0), *(Span(piece, weight, True) for piece, weight in pieces)]
    ids, weights = _weights(tokenizer, spans)
    by_character = [w for piece, w in pieces for _ in piece]
    answer = "x" + text
    whole = tokenizer(answer, add_special_tokens=False, return_offsets_mapping=True)
    assert ids[-len(whole["input_ids"]) :] == whole["input_ids"]
    wanted = [max(by_character[a:b]) for a, b in whole["offset_mapping"]]
    assert weights[-len(wanted) :] == wanted
    assert not any(weights[: -len(wanted)])


def _weights(tokenizer, spans):
    row = encode_spans(tokenizer, [spans])[0]
    return row["input_ids"], row.get("loss_scale") or [float(label != IGNORED) for label in row["labels"]]


def test_packed_and_padded_rows_keep_the_weights_of_their_tokens(tokenizer):
    from swift_plugin_runtime.batching.collate import flat_batch, pad_batch

    texts = [CALL, "Final Answer: yes", CALL + CALL]
    rows = [
        encode_spans(tokenizer, [[Span("Ask|"), *(Span(p, w, True) for p, w in weigh(React(), t))]])[0] for t in texts
    ]
    weights = [row.get("loss_scale") or [float(label != IGNORED) for label in row["labels"]] for row in rows]
    flat, padded = flat_batch(rows)["loss_scale"][0].tolist(), pad_batch(rows, 0)["loss_scale"].tolist()
    assert flat == [w for row in weights for w in row]
    assert [row[: len(w)] for row, w in zip(padded, weights, strict=True)] == weights


def test_every_scale_has_a_table():
    assert set(AgentScale.__subclasses__()) == set(SCALES)
    assert all(scale.table.keywords or scale.table.patterns for scale in SCALES)


class TestAgentFlan(LossScaleContract):
    name = "agentflan"


class TestAlphaUmi(LossScaleContract):
    name = "alpha_umi"


class TestHermes(LossScaleContract):
    name = "hermes"


class TestIgnoreEmptyThink(LossScaleContract):
    name = "ignore_empty_think"


class TestIgnoreThinkPrefix(LossScaleContract):
    name = "ignore_think_prefix"


class TestQwen(LossScaleContract):
    name = "qwen"


class TestReact(LossScaleContract):
    name = "react"
