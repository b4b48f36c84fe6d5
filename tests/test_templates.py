"""The template engine: what a declaration may say, and what is written, trained and refused because of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from swift_testing.templates import byte_level, job_with, spans, special_tokens, text_of, trained_of
from transformers.utils.chat_template_utils import render_jinja_template

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.templates import read_template
from swift_core.templates.carried import carried
from swift_core.templates.encode import IGNORED, encode_spans
from swift_core.templates.thoughts import split_thought

PAGE = Path(__file__).parent.parent / "docs" / "templates.md"
WORKED = re.search(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[1]
ROUND = 'user = "<u>{query}</u>"\nassistant = "<a>"\nend = "</a>"\n'
HI = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
MORE = [*HI, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "More."}]


class Plain:
    """The names of special tokens, which is all that rendering asks."""

    bos_token, eos_token = "<s>", "</s>"

    def __call__(self, text, add_special_tokens=True, **_):
        return {"input_ids": [1, *map(ord, text)] if add_special_tokens else list(map(ord, text))}

    def convert_ids_to_tokens(self, ids):
        return [{1: "<s>", 7: "<seven>"}[i] for i in ids] if isinstance(ids, list) else {7: "<seven>"}[ids]


def system(text):
    return [{"role": "system", "content": text}]


def write(toml, messages, generation=False, loss_scale="default", **options):
    return text_of(job_with(read_template(toml, "mine"), loss_scale, **options), messages, Plain(), generation)


# -- declarations ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("toml", "words"),
    [
        ("user = ", "template 'mine': not valid TOML"),
        ('usr = "{query}"', "template 'mine': unknown key 'usr'. Did you mean 'user'"),
        ("user = 3", "template 'mine': user must be a str, found 3"),
        ('trim = "user"', "template 'mine': trim must be a list"),
        ('skip_empty_system = "yes"', "template 'mine': skip_empty_system must be a bool"),
        ('user = "<u>"', r"template 'mine': user must hold \{query\} once"),
        ('answer = "{answer}{answer}"', r"answer must hold \{answer\} once"),
        ('system = "<s>"', r"system must hold \{system\} once"),
        ('tools = "<s>"', r"tools must hold \{system\} once"),
        ('default_system = "x"', "default_system needs a system text to stand in"),
        ('trim = ["robot"]', "trim names the unknown role 'robot'"),
        ('[thinking]\nwrites = "x"', "unknown key 'writes'. Did you mean 'write'"),
        ('[thinking]\nwrite = "x"', r"thinking.write must hold \{thought\} once"),
        ('[thinking]\non = "<t>"', "thinking.on must be how thinking.write begins"),
        ('[thinking]\nempty = "<t></t>"\noff = "</t>"', "thinking.off must be how thinking.empty begins"),
    ],
)
def test_a_wrong_declaration_names_template_and_key(toml, words):
    with pytest.raises(SwiftError, match=words):
        read_template(toml, "mine")


def test_every_key_is_explained_on_the_page():
    import dataclasses

    from swift_core.templates.declaration import Template, Thinking

    text = PAGE.read_text(encoding="utf-8")
    keys = [f.name for owner in (Template, Thinking) for f in dataclasses.fields(owner) if f.name != "name"]
    assert [key for key in keys if f"| `{key}` |" not in text] == []


def test_the_worked_example_writes_what_the_page_shows():
    shown = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    messages = [*system("Be brief."), *MORE]
    assert write(WORKED, messages) == shown[0]
    assert write(WORKED, messages, generation=True, enable_thinking=True) == shown[1].rstrip("\n")


# -- turns ------------------------------------------------------------------------------------------------------
def test_a_conversation_is_its_frames_in_order():
    toml = ROUND + 'start = "{bos}"\nafter = "\\n"\nbetween = "--"\n'
    assert write(toml, MORE) == "<s><u>Hi</u><a>Hello!</a>\n--<u>And?</u><a>More.</a>\n"
    assert write(toml, MORE, generation=True) == "<s><u>Hi</u><a>Hello!</a>\n--<u>And?</u><a>"


def test_rounds_are_counted_from_one_or_zero():
    assert write('user = "[{round}] {query} "\nend = ";"', MORE) == "[1] Hi Hello!;[2] And? More.;"
    assert write('user = "[{round0}] {query} "\nend = ";"', MORE) == "[0] Hi Hello!;[1] And? More.;"


def test_a_template_of_one_round_refuses_two():
    with pytest.raises(SwiftError, match="row: the template 'mine' knows one question and one answer"):
        write("single = true", MORE)


def test_white_space_is_stripped_of_the_named_roles_alone():
    messages = [{"role": "user", "content": " Hi\n"}, {"role": "assistant", "content": " Hello! "}]
    assert write(ROUND + 'trim = ["user"]', messages) == "<u>Hi</u><a> Hello! </a>"
    assert write(ROUND + 'trim = ["assistant"]', messages) == "<u> Hi\n</u><a>Hello!</a>"


def test_tool_results_stand_in_their_own_frame_or_the_users():
    messages = [*HI, {"role": "tool", "content": "7"}, {"role": "assistant", "content": "Seven."}]
    written = "<tool_response>\n7\n</tool_response>"
    assert f"<u>{written}</u><a>Seven.</a>" in write(ROUND, messages, agent="hermes")
    assert f"<t>{written}</t><a>Seven.</a>" in write(ROUND + 'tool = "<t>{query}</t>"', messages, agent="hermes")


def test_tools_open_a_conversation_in_the_templates_own_format_only():
    tool = {"type": "function", "function": {"name": "find", "description": "", "parameters": {}}}
    template = read_template(ROUND + 'system = "<sys>{system}"\ntools = "<tools>{system}"\nagent = "hermes"', "mine")
    for agent, start in (("hermes", "<tools>"), ("react", "<sys>")):
        assert text_of(job_with(template, agent=agent), HI, Plain(), tools=[tool]).startswith(start)
    assert text_of(job_with(template, agent="hermes"), HI, Plain()).startswith("<u>")


# -- the system text -------------------------------------------------------------------------------------------
SYSTEM = ROUND + 'start = "<none>"\nsystem = "<sys>{system}</sys>"\n'


def test_a_default_system_text_stands_where_a_row_brings_none():
    toml = SYSTEM + 'default_system = "Be good."\n'
    assert write(toml, HI).startswith("<sys>Be good.</sys>")
    assert write(toml, [*system("Be bad."), *HI]).startswith("<sys>Be bad.</sys>")
    assert write(toml, [*system(""), *HI]).startswith("<sys></sys>")
    assert write(toml + "skip_empty_system = true\n", [*system(" "), *HI]).startswith("<sys>Be good.</sys>")
    assert write(SYSTEM, HI).startswith("<none><u>")


def test_an_empty_text_of_the_job_leaves_the_default_out():
    """In what a model is trained on, and in the chat template that goes with it."""
    template = read_template(SYSTEM + 'default_system = "Be good."\n', "mine")
    row = Row(messages=HI).with_system("")
    assert text_of(job_with(template), row.messages, Plain()).startswith("<sys></sys>")
    assert Row(messages=HI).with_system(None).messages == HI
    written = render_jinja_template([HI], chat_template=carried(template, Plain(), "", None))[0]
    assert written[0].startswith("<sys></sys>")


def test_a_late_system_text_stands_before_the_last_question():
    toml = ROUND + 'late_system = "({system}) "'
    assert write(toml, [*system("Be good."), *MORE]) == "<u>Hi</u><a>Hello!</a><u>(Be good.) And?</u><a>More.</a>"


def test_a_system_text_without_a_place_is_refused():
    with pytest.raises(SwiftError, match="row: the template 'mine' has no place for a system message"):
        write(ROUND, [*system("Be good."), *HI])


# -- tokens ----------------------------------------------------------------------------------------------------
def test_tokens_by_name_and_by_number():
    assert write('start = "{bos}{token:7}"\nend = "{eos}"', HI) == "<s><seven>HiHello!</s>"


def test_the_tokenizers_own_bos_comes_first_where_the_template_says_so():
    assert write(ROUND + "auto_bos = true", HI).startswith("<s><u>")
    assert write(ROUND, HI).startswith("<u>")


def test_stop_words_are_all_that_ends_an_answer():
    template = read_template(ROUND + 'last_end = "</last>\\n"\nstop = ["<u>", "</a>"]', "mine")
    assert template.stop_words(Plain()) == ["</a>", "</last>", "<u>", "</s>"]


# -- labels ----------------------------------------------------------------------------------------------------
def test_answers_and_their_ends_are_trained_and_nothing_else():
    template = read_template(SYSTEM + 'after = "\\n"\nlast_end = "</last>"', "mine")
    assert trained_of(job_with(template), [*system("Be good."), *MORE], Plain()) == "Hello!</a>More.</last>"
    assert trained_of(job_with(template, "last_round"), MORE, Plain()) == "More.</last>"
    assert trained_of(job_with(template, "all"), HI, Plain()) == "<none><u>Hi</u><a>Hello!</last>\n"


def test_a_turn_may_say_that_it_is_not_trained_or_how_much():
    template = read_template(ROUND, "mine")
    messages = [HI[0], {**HI[1], "loss": False}, *MORE[2:]]
    assert trained_of(job_with(template), messages, Plain()) == "More.</a>"
    weighed = spans(job_with(template), [HI[0], {**HI[1], "loss_scale": 0.5}], Plain())
    assert [(s.text, s.weight) for s in weighed if s.weight] == [("Hello!", 0.5), ("</a>", 1.0)]


def test_where_an_answer_has_no_end_the_word_that_opens_the_next_turn_is_its_end():
    template = read_template(
        'user = "<u>{query}"\nassistant = "<a>"\nend = ""\nlast_end = "<u>"\nstop = ["<u>"]', "mine"
    )
    assert text_of(job_with(template), MORE, Plain()) == "<u>Hi<a>Hello!<u>And?<a>More.<u>"
    assert trained_of(job_with(template), MORE, Plain()) == "Hello!<u>More.<u>"


def test_the_first_token_is_never_trained_and_labels_are_the_ids():
    template = read_template(ROUND, "mine")
    tokenizer = byte_level(special_tokens([template]))
    row = encode_spans(tokenizer, [spans(job_with(template, "all"), HI, tokenizer)])[0]
    assert row["labels"] == [IGNORED, *row["input_ids"][1:]]
    row = encode_spans(tokenizer, [spans(job_with(template), HI, tokenizer)])[0]
    assert tokenizer.decode([i for i in row["labels"] if i != IGNORED]) == "Hello!</a>"


# -- thoughts --------------------------------------------------------------------------------------------------
THINKS = ROUND + '[thinking]\nwrite = "<t>{thought}</t>"\nempty = "<t></t>"\nhistory = "<h>"\non = "<t>"\n'


def thinking(text, thought="Hm."):
    return [{"role": "user", "content": "?"}, {"role": "assistant", "content": text, "reasoning_content": thought}]


def test_thoughts_are_split_from_an_answer():
    assert split_thought("<think>\nHm.\n</think>\n\nYes.") == ("Hm.", "Yes.")
    assert split_thought("Yes.") == ("", "Yes.")
    assert split_thought("<think>Hm.</think>Yes.") == ("Hm.", "Yes.")
    assert split_thought("<think>\n\n</think>\n\nYes.") == ("", "Yes.")


@pytest.mark.parametrize("opened", [True, False])
@pytest.mark.parametrize(
    "text", ["Use `</think>` to close.", "</think> closes.", "It ends:\n</think>\nThere.", "<think> opens."]
)
def test_an_answer_that_mentions_a_tag_of_thoughts_stays_whole(text, opened):
    assert split_thought(text, opened) == ("", text)
    inside = f"<think>\nI say: {text}\n</think>\n\nDone."
    assert split_thought(inside) == (f"I say: {text}", "Done.") or "\n</think>\n" in text


def test_what_a_model_said_behind_an_open_thought_is_split():
    assert split_thought("Hm.\n</think>\n\nYes.", opened=True) == ("Hm.", "Yes.")
    assert split_thought("Hm.\n</think>\n\nYes.") == ("", "Hm.\n</think>\n\nYes.")


def test_thoughts_under_a_key_may_mention_their_tags():
    said = {"role": "assistant", "content": "Use `</think>`.", "reasoning_content": "He means\n</think>\n."}
    written = write(THINKS, [HI[0], said])
    assert written.endswith("<a><t>He means\n</think>\n.</t>Use `</think>`.</a>")


def test_thoughts_of_earlier_answers_are_kept_where_trained_or_asked_for():
    messages = [*thinking("One."), *thinking("Two.")]
    both = "<u>?</u><a><t>Hm.</t>One.</a><u>?</u><a><t>Hm.</t>Two.</a>"
    dropped = both.replace("<t>Hm.</t>One", "<h>One")
    assert write(THINKS, messages) == both
    assert write(THINKS, messages, loss_scale="last_round") == dropped
    assert write(THINKS, messages, preserve_thinking=False) == dropped
    assert write(THINKS, messages, loss_scale="last_round", preserve_thinking=True) == both
    marked = THINKS + 'dropped = "<d>"\n'
    assert write(marked, messages, preserve_thinking=False) == dropped.replace("<h>", "<d>")
    assert "<h>Hello!" in write(marked, [*HI, *thinking("Two.")], preserve_thinking=False)


def test_the_prompt_asks_for_thoughts_or_holds_an_empty_one():
    assert write(THINKS, HI, generation=True).endswith("<a><t>")
    assert write(THINKS, HI, generation=True, enable_thinking=False).endswith("<a><t></t>")
    trained = trained_of(job_with(read_template(THINKS, "mine")), thinking("Yes."), Plain())
    assert trained == "Hm.</t>Yes.</a>"  # the prompt already holds <t>


def test_a_question_may_carry_the_wish_not_to_think():
    toml = THINKS + 'off_query = "/no"\n'
    assert "<u>Hi/no</u>" in write(toml, HI, enable_thinking=False)
    assert "<u>Hi</u>" in write(toml, HI)


# -- calls beside the answer and inside it ------------------------------------------------------------------------
def test_calls_stand_beside_an_answers_frame_where_their_format_says_so():
    call = {"name": "find", "arguments": {}}
    toml = ROUND + 'answer = "[{answer}]"\nstop = ["<|call|>"]\n'
    chat = [HI[0], {"role": "assistant", "content": "Look.", "tool_calls": [call]}]
    inside, beside = (write(toml, chat, agent=agent) for agent in ("hermes", "gpt_oss"))
    assert re.fullmatch(r"<u>Hi</u><a>\[Look\.\n<tool_call>.*</tool_call>\]</a>", inside, re.DOTALL)
    assert re.fullmatch(r"<u>Hi</u><a>\[Look\.\]<\|end\|>.* to=functions\.find.*<\|call\|>", beside, re.DOTALL)


def test_rows_that_cannot_be_written_say_where():
    with pytest.raises(SwiftError, match=r"q\.jsonl:3: the template 'mine' has no place"):
        spans_at("q.jsonl:3")


def spans_at(where):
    from swift_core.templates.render import spans_of

    row = Row(messages=[*system("x"), *HI], where=where)
    return spans_of(job_with(read_template(ROUND, "mine")), row, Plain())


# -- truncation -------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("side", "kept"), [("left", slice(-4, None)), ("right", slice(0, 4))])
def test_a_row_that_is_too_long_is_cut_on_one_side_labels_and_all(side, kept):
    from swift_plugin_runtime.encoding.datasets import fit

    template = read_template(ROUND, "mine")
    tokenizer = byte_level(special_tokens([template]))
    row = encode_spans(tokenizer, [spans(job_with(template, "all"), HI, tokenizer)])[0]
    cut = fit(dict(row), 4, side, "q.jsonl:3")
    assert cut["input_ids"] == row["input_ids"][kept] and cut["labels"][1:] == row["labels"][kept][1:]
    with pytest.raises(SwiftError, match=r"q\.jsonl:3"):
        fit(dict(row), 4, "raise", "q.jsonl:3")
