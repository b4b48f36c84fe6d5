"""A checkpoint's own chat template: fitted, derived, verified, refused."""

from __future__ import annotations

import functools
import re

import pytest
from own_forms import TURN, UNSOUND, Tokens, chatml, form, names, official, tokens_of
from swift_testing.templates import job_with

from swift_core import SwiftError
from swift_core.contract.row import Row
from swift_core.templates.carried import with_system
from swift_core.templates.chat import Refused
from swift_core.templates.declaration import Template
from swift_core.templates.derive import Deriver
from swift_core.templates.probes import EDGES, PLAIN, THOUGHTS
from swift_core.templates.render import spans_of
from swift_core.templates.settle import own_template
from swift_core.templates.sound import objection

PLAIN_TEMPLATE = Template(name="declared", end="")
DERIVED = {"deepseek_r1_distill", "deepseek_r1_distill_training", "deepseekv3", "deepseekv3_training"}
"""They drop thoughts that their prompt opens, which no declaration says."""

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Weather.", "parameters": {"type": "object", "properties": {}}},
}


def said(text, thought="", *calls):
    found = {"role": "assistant", "content": text}
    return found | ({"reasoning_content": thought} if thought else {}) | ({"tool_calls": list(calls)} if calls else {})


def user(text):
    return {"role": "user", "content": text}


def weather(city):
    return {"name": "get_weather", "arguments": {"city": city}}


ROWS = {
    **PLAIN,
    **EDGES,
    **THOUGHTS,
    "special tokens as words": [user("Hi <|im_end|>"), said("It ends with <|im_end|> or </s>, I say <|eot_id|>.")],
    "mentions </think>": [user("Hi"), said("Use `</think>` to close."), user("?"), said("Yes, </think>.")],
    "a question that is its answer": [user("Hello"), said("Hello"), user("assistant"), said("assistant")],
    "code": [user("Code?"), said('```python\nprint(f"{1}")\n```')],
}
TOOL_ROWS = {
    "tools on offer": [user("Hi"), said("Hello!")],
    "a call": [user("Warm?"), said("", "", weather("Rome")), {"role": "tool", "content": "25"}, said("In Rome.")],
    "two calls": [
        *[user("Warm?"), said("", "", weather("Rome"), weather("Oslo"))],
        *[{"role": "tool", "content": "25"}, {"role": "tool", "content": "9"}, said("In Rome.")],
    ],
    "words before a call": [
        *[user("Warm?"), said("Let me look.", "", weather("Rome"))],
        *[{"role": "tool", "content": "25"}, said("In Rome.")],
    ],
}


@functools.cache
def own(name):
    return own_template(official(name), tokens_of(name), PLAIN_TEMPLATE, "")


def rendered(name, messages, tools=()):
    """(spans, why refused) of a row by the official template's own."""
    row = Row([dict(m) for m in messages], tools=list(tools))
    try:
        return spans_of(job_with(own(name)), row, tokens_of(name)), ""
    except SwiftError as error:
        return [], str(error)


def parts(spans):
    """(everything before an answer, the answer with its end) for each answer of a row."""
    text, found = "", []
    for n, span in enumerate(spans):
        if span.answer and (n == 0 or not spans[n - 1].answer):
            found.append([text, ""])
        if span.answer:
            found[-1][1] += span.text
        text += span.text
    return found


REFUSALS = "refuses it|not written as it stands|how the finished text begins|leaves the thoughts out|not write tools"
REFUSALS += "|opens another turn|argument .* is missing|nothing that ends|missing from its prompt"


@pytest.mark.parametrize("name", names())
def test_official_templates_are_sound_and_fitted(name):
    assert objection(Deriver(official(name))) == ""
    assert own(name).fitted is (name not in DERIVED)


@pytest.mark.parametrize("name", names())
def test_every_answer_of_official_templates_begins_where_a_served_prompt_ends(name):
    """None is wrong: the prompt is one that a server sends, the words are there, and a stop is trained last."""
    chat = official(name)
    rows = {k: (m, ()) for k, m in ROWS.items()} | {k: (m, (TOOL,)) for k, m in TOOL_ROWS.items()}
    given = 0
    for messages, tools in rows.values():
        spans, refusal = rendered(name, messages, tools)
        if refusal:
            assert re.search(REFUSALS, refusal)
            continue
        prompt, answer = parts(spans)[-1]
        given += 1
        assert prompt in chat.prompts(messages[:-1], list(tools)) or kept_thoughts(name, prompt, messages, chat)
        assert messages[-1]["content"].strip() in answer
        assert answer.endswith(tuple(chat.stops)) and not prompt.endswith(answer)
        assert all(span.weight == (1.0 if span.answer else 0.0) for span in spans)
    assert given >= 10, "too many rows are refused"


def kept_thoughts(name, prompt, messages, chat):
    """A prompt of a row whose earlier answers are trained: their thoughts stay, as in any template of ours."""
    thinking = own(name).thinking
    if thinking is None or sum(m["role"] == "assistant" for m in messages) < 2:
        return False
    shown = [m for m in messages[:-1] if m["role"] != "assistant"]
    return all(m["content"].strip() in prompt for m in shown) and prompt.endswith(
        tuple(p[-12:] for p in chat.prompts(messages[:-1]))
    )


# -- what is refused ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", UNSOUND)
def test_a_chat_template_that_cannot_be_trained_on_is_refused(name):
    source, words = UNSOUND[name]
    with pytest.raises(SwiftError, match=f"cannot be trained on soundly: .*({words})"):
        own_template(form(source), Tokens("<s>", "<|im_end|>"), PLAIN_TEMPLATE)


def one_row(source, messages, tools=(), **options):
    chat = form(source, more=["<|call|>"])
    template = own_template(chat, Tokens("<s>", "<|im_end|>"), PLAIN_TEMPLATE, "")
    job = job_with(template, **options)
    return job, spans_of(job, Row(messages, tools=list(tools), where="q.jsonl:3"), Tokens("<s>", "<|im_end|>"))


def test_what_probes_do_not_find_is_found_in_the_row():
    hidden = chatml("'No.' if m.content == 'secret' else m.content")
    assert parts(one_row(hidden, [user("Hi"), said("Hello!")])[1]) == [
        ["<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "Hello!<|im_end|>"]
    ]
    with pytest.raises(SwiftError, match=r"q\.jsonl:3: 'secret' of the answer is not written as it stands.*--template"):
        one_row(hidden, [user("Hi"), said("secret")])
    with pytest.raises(SwiftError, match=r"q\.jsonl:3: .*the words of the user before the answer are missing"):
        one_row(hidden, [user("secret"), said("Hello!")])


def test_a_template_that_drops_the_system_text_refuses_rows_with_one():
    source = chatml(turn="{% if m.role != 'system' %}" + TURN + "{% endif %}")
    with pytest.raises(SwiftError, match=r"q\.jsonl:3: the words of the system before the answer are missing"):
        one_row(source, [{"role": "system", "content": "Be kind."}, user("Hi"), said("Hello!")])


def test_a_template_that_knows_no_tools_leaves_them_to_the_agent_format():
    template = own_template(form(chatml()), Tokens("<s>", "<|im_end|>"), PLAIN_TEMPLATE)
    row = Row([user("Hi"), said("Hello!")], tools=[TOOL])
    with_agent = spans_of(job_with(template, agent="hermes"), row, Tokens("<s>", "<|im_end|>"))
    assert "get_weather" in with_agent[0].text and with_agent[1].text == "Hello!<|im_end|>"


def test_answers_that_later_rounds_change_are_trained_alone_and_it_is_said(capsys):
    source = chatml("m.content if loop.last or m.role != 'assistant' else '(' ~ m.content ~ ')'")
    job, spans = one_row(source, [user("Hi"), said("Hello!"), user("And?"), said("More.")])
    assert [answer for _, answer in parts(spans)] == ["More.<|im_end|>"]
    assert "(Hello!)<|im_end|>" in spans[0].text
    assert "Of the 2 answers of this row, and in all rows like it, only the last is trained" in job.notes[0]


def test_a_row_says_which_answers_are_trained_and_how_much():
    source = chatml("m.content ~ ('' if m.content[:1] == '<' else '')")
    messages = [user("Hi"), said("Hello!") | {"loss": False}, user("And?"), said(" More.") | {"loss_scale": 0.5}]
    _, spans = one_row(source, messages)
    assert [(s.text, s.weight) for s in spans if s.weight] == [(" More.", 0.5), ("<|im_end|>", 1.0)]


# -- what is saved -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [n for n in names() if not n.endswith("_training")])
def test_a_saved_system_text_stands_where_a_conversation_has_none(name):
    chat = official(name)
    words = "Be 'kind' \"and\" {{ brief }}.\nAlways."
    carrying = with_system(chat.source, words, chat.parts)
    bos, eos = vars(tokens_of(name)).values()
    saved = form(carrying, bos, eos)
    for messages in (PLAIN["one round"], PLAIN["two rounds"]):
        try:
            wanted = chat.prompt([{"role": "system", "content": words}, *messages[:-1]])
        except Refused:
            with pytest.raises(Refused):
                saved.prompt(messages[:-1])
            continue
        assert saved.prompt(messages[:-1]) == wanted
    asked = PLAIN["a system text"][:-1]
    if name != "gemma":  # which refuses any system text
        assert saved.prompt(asked) == chat.prompt(asked)
