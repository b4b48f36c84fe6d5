"""Templates against the official chat templates that the trl wheel carries, on one fixed set of conversations.

The text is the official one, letter by letter, and so are its token ids; so is the prompt. What differs on
purpose stands in the template's TOML under `differs`, and the table below says where it shows: a difference
that does not show, or that the TOML does not explain, fails as well.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

import pytest
from jinja2 import TemplateError, Undefined
from swift_testing.templates import by_jinja, byte_level, job_with, special_tokens

from swift_core.catalogue.entries import Catalogue
from swift_core.data.convert import to_row
from swift_core.templates.chat import ChatForm, Refused
from swift_core.templates.derive import Deriver
from swift_core.templates.encode import encode_spans
from swift_core.templates.render import spans_of

LONG = "One sentence of a long text, with 数字 42 and a line break.\n" * 20
CODE = 'def add(a, b):\n    """Add."""\n    return a + b\n\n\nprint(f"{add(1, 2)}")'


def user(text):
    return {"role": "user", "content": text}


def said(text, thought=None, calls=()):
    message = {"role": "assistant", "content": text}
    if thought:
        message["reasoning_content"] = thought
    if calls:
        message["tool_calls"] = [
            {"id": f"call{n}", "type": "function", "function": call} for n, call in enumerate(calls)
        ]
    return message


def system(text):
    return {"role": "system", "content": text}


def result(text, number=0):
    return {"role": "tool", "content": text, "tool_call_id": f"call{number}", "name": "get_weather"}


def weather(city, **more):
    return {"name": "get_weather", "arguments": {"city": city, **more}}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "Get the weather.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "City, 城市"},
                    "days": {"type": "integer"},
                },
                "required": ["city"],
            },
        },
    },
]
HARD = {"note": "two\nlines, \"quotes\" 'and' 北京 <b>", "where": {"at": [1.5, -2], "near": {"x": "y"}}, "days": 3}
ASK, DONE = user("Where is it warmer?"), said("In Rome.")

CONVERSATIONS = {
    "plain": [user("Hi"), said("Hello!")],
    "system": [system("You are brief."), user("Hi"), said("Hello!")],
    "two rounds": [user("Hi"), said("Hello!"), user("And?"), said("More.")],
    "three rounds with a system text": [
        *[system("Be kind."), user("One"), said("1"), user("Two"), said("2"), user("Three"), said("3")]
    ],
    "unicode": [user("你好,世界 🌍 — ça va?"), said("很好 👍 Ünïcödé")],
    "empty system": [system(""), user("Hi"), said("Hello!")],
    "trailing line breaks": [user("Hi\n\n"), said("Hello!\n")],
    "outer spaces": [system(" Be brief. "), user("  Hi "), said("Hello! ")],
    "long": [user(LONG), said(LONG)],
    "code": [user(f"Explain\n```python\n{CODE}\n```"), said(f"```python\n{CODE}\n```")],
    "looks like a template": [user("{{ x }} {% if %} {query} %s <b>&amp;</b>"), said("{'a': [1]} \\n \"quoted\"")],
    "an indented answer": [user("Hi"), said("  x = 1\n")],
    "a line break first": [user("Hi"), said("\nx = 1")],
    "mentions </think>": [
        user("Hi"),
        said("Use `</think>` to close.\n\n</think>\nis how."),
        user("?"),
        said("</think>!"),
    ],
    "several lines of system": [system("First.\n\n- a\n- b"), user("Hi"), said("Hello!"), user("?"), said("!")],
}
THOUGHTFUL = {
    "thoughts in the last answer": [user("Hi"), said("Hello!"), user("Why?"), said("So.", "Let me think.\nYes.")],
    "thoughts in every answer": [user("Hi"), said("Hello!", "A greeting."), user("Why?"), said("So.", "Hm.")],
}
WITH_TOOLS = {
    "tools on offer": [system("You are brief."), user("Hi"), said("Hello!")],
    "tools without a system text": [user("Hi"), said("Hello!")],
    "a call": [system("Be kind."), ASK, said("", None, [weather("Rome", days=2)]), result('{"temp": 25}'), DONE],
    "words before a call": [ASK, said("Let me look.", None, [weather("Rome")]), result("25"), DONE],
    "several calls": [*[ASK, said("", None, [weather("Paris"), weather("Rome")]), result("20"), result("25", 1), DONE]],
    "hard arguments": [ASK, said("", None, [{"name": "find", "arguments": HARD}]), result("北京\n25"), DONE],
    "calls in two rounds": [
        *[ASK, said("", None, [weather("Rome")]), result("25"), DONE],
        *[user("And Oslo?"), said("", None, [weather("Oslo")]), result("9"), said("Colder.")],
    ],
}
THOUGHT_CALLS = {
    "thoughts before a call": [ASK, said("", "I look.", [weather("Rome")]), result("25"), said("In Rome.", "Yes.")],
}
ALL = CONVERSATIONS | THOUGHTFUL | WITH_TOOLS | THOUGHT_CALLS


@dataclass
class Official:
    """How an official template is compared.

    file: in trl/chat_templates. bos, eos: the tokenizer's tokens. parts: contents are lists. thinks: it knows
    thoughts, given by `inline`, in the content, or under this key. tools: it writes tools, calls and results.
    values: what is passed to it. differs: conversation → words of the reason in the TOML. ends: words of the
    reason why finished conversations end otherwise: (reason, the official end, ours). last: reason why the
    thoughts of the last answer are written otherwise, in a finished conversation.
    """

    file: str
    bos: str = ""
    eos: str = ""
    parts: bool = False
    thinks: str = ""
    tools: bool = False
    values: dict[str, Any] = field(default_factory=dict)
    differs: dict[str, str] = field(default_factory=dict)
    ends: tuple[str, str, str] = ("", "", "")
    last: str = ""

    def cases(self):
        """The conversations that it is compared on."""
        chosen = [*CONVERSATIONS, *(THOUGHTFUL if self.thinks else ()), *(WITH_TOOLS if self.tools else ())]
        return [*chosen, *(THOUGHT_CALLS if self.thinks and self.tools else ())]


SYSTEMS = tuple(n for n, c in CONVERSATIONS.items() if c[0]["role"] == "system")
CALLS = [n for n, c in WITH_TOOLS.items() if any("tool_calls" in m for m in c)]
LFM = {"bos": "<|startoftext|>", "tools": True}
LLAMA = {"bos": "<|begin_of_text|>", "eos": "<|eot_id|>"}
DEEPSEEK = {"bos": "<｜begin▁of▁sentence｜>", "eos": "<｜end▁of▁sentence｜>", "thinks": "inline", "last": "drops them"}
DATE = {"strftime_now": lambda form: {"%d %b %Y": "26 Jul 2024", "%Y-%m-%d": "2025-08-05"}[form]}
IN_SYSTEM = {"tools_in_user_message": False}
MENTIONS = {"mentions </think>": "cuts it there"}
INDENTED = MENTIONS | dict.fromkeys(["an indented answer", "a line break first"], "keeps what it begins with")
ESCAPED = MENTIONS | {"hard arguments": "Texts in calls are escaped"}
SINGLE = {"several calls": "one call a turn", "words before a call": "which it drops"}
GEMMA4 = {"bos": "<bos>", "thinks": "reasoning_content", "tools": True}
DROPPED = ["words before a call", "several calls", "thoughts before a call"]
UNDATED = {"strftime_now": Undefined()}

PAIRS = [
    ("qwen2_5", Official("qwen2_5", tools=True)),
    (
        "qwen3",
        Official(
            "qwen3",
            thinks="inline",
            tools=True,
            differs=dict.fromkeys(CALLS, "without thoughts")
            | {"a line break first": "keeps the line breaks"}
            | MENTIONS,
        ),
    ),
    ("qwen3_nothinking", Official("qwen3_instruct_2507", tools=True)),
    ("qwen2_vl", Official("qwen2_5_vl")),
    ("qwen3_vl", Official("qwen3_vl", tools=True)),
    ("qwen3_5", Official("qwen3_5_think", thinks="inline", tools=True, differs=MENTIONS)),
    ("qwen3_5", Official("qwen3_6", thinks="inline", tools=True, differs=MENTIONS)),
    ("qwen3_5_small", Official("qwen3_5_nothink", thinks="inline", tools=True, differs=MENTIONS)),
    ("qwen3_8", Official("qwen3_8", thinks="reasoning_content", tools=True)),
    ("llama3", Official("llama3", **LLAMA)),
    ("llama3_2", Official("llama3_1", **LLAMA, tools=True, values=IN_SYSTEM, differs=SINGLE)),
    ("llama3_2", Official("llama3_2", **LLAMA, tools=True, values=DATE | IN_SYSTEM, differs=SINGLE)),
    ("gemma", Official("gemma", bos="<bos>", differs=dict.fromkeys(SYSTEMS, "official template refuses any"))),
    ("gemma3_text", Official("gemma3", bos="<bos>")),
    ("gemma3_vision", Official("gemma3", bos="<bos>")),
    ("gemma4_nothinking", Official("gemma4_v5", **GEMMA4, differs={"words before a call": "behind the results"})),
    (
        "diffusion_gemma",
        Official("diffusion_gemma", **GEMMA4, differs=dict.fromkeys([*CALLS, *THOUGHT_CALLS], "opens a new turn")),
    ),
    ("phi3", Official("phi3", eos="<|endoftext|>", ends=("tokenizer's eos", "<|endoftext|>", ""))),
    (
        "phi3",
        Official(
            "phi3_5",
            eos="<|endoftext|>",
            ends=("tokenizer's eos", "<|endoftext|>", ""),
            differs={"empty system": "Phi-3.5 leaves it out"},
        ),
    ),
    ("deepseek_r1", Official("deepseek_r1_distill", **DEEPSEEK, differs=MENTIONS)),
    ("deepseek_r1", Official("deepseekv3", **DEEPSEEK, differs=MENTIONS)),
    (
        "glm4_5",
        Official(
            "glm4moe",
            thinks="inline",
            tools=True,
            ends=("opening of the next user turn", "", "<|user|>"),
            differs=MENTIONS,
        ),
    ),
    ("c4ai", Official("cohere", bos="<BOS_TOKEN>")),
    ("cohere2", Official("cohere2", bos="<BOS_TOKEN>", differs={"empty system": "empty system turn"})),
    (
        "gpt_oss",
        Official(
            "gptoss",
            thinks="thinking",
            tools=True,
            values=DATE,
            differs=dict.fromkeys(DROPPED, "all but the first call"),
        ),
    ),
    ("idefics3", Official("idefics3", parts=True)),
    ("smolvlm", Official("smolvlm", parts=True)),
    ("llava1_6_mistral_hf", Official("llava_next", parts=True, eos="</s>")),
    ("lfm2", Official("lfm2", bos="<|startoftext|>")),
    ("lfm2", Official("lfm2_v2", bos="<|startoftext|>", tools=True)),
    ("lfm2_5", Official("lfm2_2_5", **LFM, thinks="thinking", differs=ESCAPED)),
    ("lfm2_5", Official("lfm2_2_5_v2", **LFM, thinks="reasoning_content", differs=ESCAPED)),
    ("lfm2_5", Official("lfm2_2_5_vl", **LFM, thinks="reasoning_content", differs=MENTIONS)),
    ("nemotron3", Official("nemotron_3_nano", thinks="reasoning_content", tools=True, differs=INDENTED)),
    ("nemotron3", Official("nemotron_3_super", thinks="reasoning_content", tools=True, differs=INDENTED)),
    ("nemotron_h", Official("nemotron_3_ultra", thinks="reasoning_content", tools=True, differs=INDENTED)),
    ("nemotron_h", Official("nemotron_3_5_lightning", thinks="reasoning_content", tools=True, differs=INDENTED)),
    (
        "muse_glimmer",
        Official("muse_glimmer", bos="<|begin_of_text|>", thinks="reasoning_content", values=UNDATED),
    ),
]
CASES = [(t, o, n) for t, o in PAIRS for n in o.cases()]


@functools.cache
def template_of(name):
    return Catalogue.installed().find("template", name).load()


@pytest.fixture(scope="module")
def tokenizer():
    """A byte-level tokenizer that knows the special tokens of all these templates."""
    return byte_level(special_tokens(template_of(name) for name, _ in PAIRS))


class Tokens:
    """The tokenizer under the official one's names of its special tokens."""

    is_fast = True

    def __init__(self, tokenizer, official):
        self.tokenizer, self.bos_token, self.eos_token = tokenizer, official.bos, official.eos

    def __call__(self, text, **options):
        return self.tokenizer(text, **options)

    def convert_ids_to_tokens(self, ids):
        return self.tokenizer.convert_ids_to_tokens(ids)


def as_given(message, official):
    """A message in the form that the official template reads."""
    message = dict(message)
    thought = message.pop("reasoning_content", None)
    if thought and official.thinks == "inline":
        message["content"] = f"<think>\n{thought}\n</think>\n\n{message['content']}"
    elif thought:
        message[official.thinks] = thought
    if official.parts:
        message["content"] = [{"type": "text", "text": message["content"]}]
    return message


@functools.cache
def form_of(file):
    return resources.files("trl").joinpath("chat_templates", f"{file}.jinja").read_text(encoding="utf-8")


def theirs(official, messages, tokens, case, generation=False):
    """What the official template writes; None where it refuses."""
    given = [as_given(m, official) for m in messages]
    tools = {"tools": TOOLS} if case in WITH_TOOLS or case in THOUGHT_CALLS else {}
    try:
        return by_jinja(form_of(official.file), tokens, given, generation, **tools, **official.values)
    except TemplateError:
        return None


def ours(name, messages, tokens, case, generation=False):
    """(text, ids) that our template writes."""
    template = template_of(name)
    tools = case in WITH_TOOLS or case in THOUGHT_CALLS
    preserve = None if template.thinking is None or template.thinking.keep else False
    job = job_with(template, agent=template.agent if tools else None, preserve_thinking=preserve)
    row = to_row({"messages": json.loads(json.dumps(messages)), **({"tools": TOOLS} if tools else {})})
    spans = spans_of(job, row, tokens, generation)
    return "".join(s.text for s in spans), encode_spans(tokens, [spans])[0]["input_ids"]


def as_official(text, official):
    """Our text of a finished conversation with the official one's end."""
    _, end, own = official.ends
    return text.removesuffix(own) + end


@pytest.mark.parametrize(("name", "official", "case"), CASES, ids=[f"{t}-{o.file}-{n}" for t, o, n in CASES])
def test_text_and_ids_are_the_official_ones(name, official, case, tokenizer):
    tokens, messages, reasons = Tokens(tokenizer, official), ALL[case], " ".join(template_of(name).differs)
    whole, _ = ours(name, messages, tokens, case)
    prompt, ids = ours(name, messages, tokens, case, generation=True)
    wanted = theirs(official, messages, tokens, case)
    asked = theirs(official, messages[:-1], tokens, case, generation=True)
    same = (as_official(whole, official), prompt) == (wanted, asked)
    if case in official.differs:
        assert official.differs[case] in reasons
        assert not same, "the difference is gone: take it out of the table"
        return
    assert official.ends[0] in reasons
    if official.last and messages[-1].get("reasoning_content"):
        assert official.last in reasons and as_official(whole, official) != wanted
    else:
        assert as_official(whole, official) == wanted
    assert prompt == asked
    assert ids == tokenizer(asked, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize(("name", "official"), PAIRS, ids=[f"{t}-{o.file}" for t, o in PAIRS])
def test_ids_of_a_finished_conversation_are_the_official_ones(name, official, tokenizer):
    tokens = Tokens(tokenizer, official)
    for case in [n for n in official.cases() if n not in (*official.differs, "a line break first")]:  # a token over it
        if not (official.last and ALL[case][-1].get("reasoning_content")):
            text, ids = ours(name, ALL[case], tokens, case)
            assert ids == tokenizer(text, add_special_tokens=False)["input_ids"]
            assert as_official(text, official) == theirs(official, ALL[case], tokens, case)


LATER = {"glm4moe": r"\n?<think></think>\n?", "qwen3_8": r"\n</think>\n\n"}
"""Files whose switch that turns thinking off changes the question or the system text as well. An empty thought is then
said by the model under the prompt that a server sends; ours holds it in a prompt that only the switch gives."""


@pytest.mark.parametrize(("name", "official"), PAIRS, ids=[f"{t}-{o.file}" for t, o in PAIRS])
def test_the_last_answer_is_trained_as_it_is_derived_from_the_official_template(name, official, tokenizer):
    """Same place where it starts, same words, same end; save where the table and the TOML say otherwise."""
    tokens = Tokens(tokenizer, official)
    own = form_under_test(name, official, tokens)
    deriver, template, compared = Deriver(own), template_of(name), 0
    for case in [n for n in official.cases() if n not in official.differs]:
        tools = TOOLS if case in WITH_TOOLS or case in THOUGHT_CALLS else []
        row = to_row({"messages": json.loads(json.dumps(ALL[case])), **({"tools": tools} if tools else {})})
        try:
            found = deriver.answer(row.messages, row.tools)
        except Refused:
            continue
        prompt, said = last_answer(template, row, tokens)
        compared += 1
        if official.file in LATER and prompt != found.prompt:
            held = prompt.removeprefix(found.prompt)
            assert re.fullmatch(LATER[official.file], held) and held + said == found.said
        elif own.key != "inline":  # DeepSeek's drops the thoughts, and opens them in every prompt
            assert (prompt, said) == (found.prompt, found.said)
    assert compared >= 8


def form_under_test(name, official, tokens):
    def render(messages, tools=None, **values):
        known = values | official.values
        return by_jinja(
            form_of(official.file),
            tokens,
            messages,
            values.get("add_generation_prompt"),
            tools=tools,
            **{k: v for k, v in known.items() if k != "add_generation_prompt"},
        )

    return ChatForm(form_of(official.file), render, template_of(name).stop_words(tokens))


def last_answer(template, row, tokens):
    """(what stands before it, what is trained of it)"""
    preserve = None if template.thinking is None or template.thinking.keep else False
    job = job_with(template, agent=template.agent if row.tools else None, preserve_thinking=preserve)
    spans = spans_of(job, row, tokens)
    start = max(n for n, s in enumerate(spans) if s.answer and not spans[n - 1].answer)
    return "".join(s.text for s in spans[:start]), "".join(s.text for s in spans[start:] if s.answer)


def test_the_set_is_wide():
    assert len(PAIRS) >= 30
    assert all(len(o.cases()) >= 12 for _, o in PAIRS)
