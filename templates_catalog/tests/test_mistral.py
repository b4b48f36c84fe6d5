"""Mistral's templates against mistral-common, Mistral's own encoder, with the tokenizer that it carries."""

from __future__ import annotations

import json
import re

import pytest
from mistral_common.protocol.instruct.messages import AssistantMessage, SystemMessage, ToolMessage, UserMessage
from mistral_common.protocol.instruct.normalize import InstructRequestNormalizer, InstructRequestNormalizerV7
from mistral_common.protocol.instruct.request import ChatCompletionRequest, InstructRequest
from mistral_common.protocol.instruct.tool_calls import FunctionCall, Tool, ToolCall
from mistral_common.tokens.tokenizers.instruct import InstructTokenizerV3, InstructTokenizerV7, InstructTokenizerV13
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from swift_testing.templates import job_with, spans

from swift_core.catalogue.entries import Catalogue
from swift_core.data.convert import to_row
from swift_core.templates.render import spans_of

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
SYSTEM = ("system", "You are brief.\n\nAlways.")
CHATS = {
    "one round": [("user", "Hi"), ("assistant", "Hello!")],
    "system": [SYSTEM, ("user", "Hi"), ("assistant", "Hello!")],
    "rounds": [("user", "Hi"), ("assistant", "Hello!"), ("user", "And?"), ("assistant", "More.")],
    "rounds with a system text": [
        *[SYSTEM, ("user", "One"), ("assistant", "1"), ("user", "Two"), ("assistant", "2"), ("user", "3?")],
        ("assistant", "3"),
    ],
    "unicode": [("user", "你好,世界 🌍 — ça va?"), ("assistant", "很好 👍 Ünïcödé")],
    "white space": [("user", " Hi \n\n"), ("assistant", "  def f():\n    return 1")],
    "braces": [("user", "{{ x }} {% if %} {query} %s"), ("assistant", "{'a': [1]} \\n")],
    "looks like marks": [("user", "[ INST ] <b>"), ("assistant", "</ s>")],
    "long": [SYSTEM, ("user", "A sentence with 42 数字.\n" * 40), ("assistant", "Yes. " * 50 + "Done.")],
    "code": [("user", "```python\nprint(1)\n```"), ("assistant", "```\n1\n```")],
    "several lines": [("user", "a\nb\n\nc"), ("assistant", "- 1\n- 2\n")],
    "emoji": [SYSTEM, ("user", "👩‍👩‍👧"), ("assistant", "🤷")],
}
CLASSES = {"system": SystemMessage, "user": UserMessage, "assistant": AssistantMessage}


@pytest.fixture(scope="module")
def tekken():
    """Mistral's Tekken tokenizer, and the marks of later versions, which its vocabulary keeps places for."""
    tokenizer = MistralTokenizer.v3(is_tekken=True).instruct_tokenizer.tokenizer
    spare = [name for name in tokenizer._special_tokens_reverse_vocab if name.startswith("<SPECIAL_")]
    for name, place in zip(("[ARGS]", "[CALL_ID]"), spare, strict=False):
        tokenizer._special_tokens_reverse_vocab[name] = tokenizer._special_tokens_reverse_vocab[place]
    return tokenizer


def encoded(tekken, text):
    """Our text's ids: special tokens by name, everything between them as Tekken encodes it."""
    ids = []
    for piece in re.split(r"(\[/?[A-Z_]+\]|</?s>)", text):
        if piece in tekken._special_tokens_reverse_vocab:
            ids.append(tekken.get_special_token(piece))
        elif piece:
            ids += tekken.encode(piece, bos=False, eos=False)
    return ids


class NoTokenizer:
    """All that rendering asks of a tokenizer."""

    bos_token, eos_token = "<s>", "</s>"


def ours(name, chat, generation=False):
    job = job_with(Catalogue.installed().find("template", name).load())
    messages = [{"role": role, "content": text} for role, text in chat]
    return "".join(s.text for s in spans(job, messages, NoTokenizer(), generation))


def theirs(instruct, normalizer, chat):
    messages = [CLASSES[role](content=text) for role, text in chat]
    request = normalizer.normalizer().from_chat_completion_request(ChatCompletionRequest(messages=messages))
    return instruct.encode_instruct(request).tokens


VERSIONS = [
    ("mistral_nemo", InstructTokenizerV3, InstructRequestNormalizer),
    ("pixtral", InstructTokenizerV3, InstructRequestNormalizer),
    ("mistral_2501", InstructTokenizerV7, InstructRequestNormalizerV7),
    ("mistral_2503", InstructTokenizerV7, InstructRequestNormalizerV7),
    ("mistral_2506", InstructTokenizerV7, InstructRequestNormalizerV7),
    ("mistral_2512", InstructTokenizerV13, InstructRequestNormalizerV7),
]


@pytest.mark.parametrize(("name", "version", "normalizer"), VERSIONS, ids=[v[0] for v in VERSIONS])
def test_ids_are_those_of_mistral_common(name, version, normalizer, tekken):
    instruct, template = version(tekken), Catalogue.installed().find("template", name).load()
    for chat in CHATS.values():
        if template.default_system and chat[0] != SYSTEM:
            continue  # the default system text is the checkpoint's, not the encoder's
        assert encoded(tekken, ours(name, chat)) == theirs(instruct, normalizer, chat)
        assert encoded(tekken, ours(name, chat, generation=True)) == theirs(instruct, normalizer, chat[:-1])


@pytest.mark.parametrize(("name", "version", "normalizer"), VERSIONS, ids=[v[0] for v in VERSIONS])
def test_spaces_behind_an_answer_are_the_one_difference(name, version, normalizer, tekken):
    chat = [SYSTEM, ("user", "Hi"), ("assistant", "Hello! ")]
    bare = [*chat[:-1], ("assistant", "Hello!")]
    assert theirs(version(tekken), normalizer, chat) == encoded(tekken, ours(name, bare))
    assert encoded(tekken, ours(name, chat)) != encoded(tekken, ours(name, bare))
    assert "Spaces behind an answer" in " ".join(Catalogue.installed().find("template", name).load().differs)


@pytest.mark.parametrize("system", [True, False])
def test_tools_calls_and_results_are_those_of_version_13(system, tekken):
    template = Catalogue.installed().find("template", "mistral_2512").load()
    calls = [{"name": "get_weather", "arguments": {"city": city}} for city in ("Paris", "北京")]
    listed = [FunctionCall(name=c["name"], arguments=json.dumps(c["arguments"], ensure_ascii=False)) for c in calls]
    asked = [ToolCall(id=f"call0000{n}", function=call) for n, call in enumerate(listed)]
    official = [
        *([SystemMessage(content=SYSTEM[1])] if system else []),
        UserMessage(content="Where?"),
        AssistantMessage(content=None, tool_calls=asked),
        *(ToolMessage(content=t, tool_call_id=f"call0000{n}") for n, t in enumerate(("20", "25"))),
        AssistantMessage(content="There."),
    ]
    messages = [
        *([{"role": "system", "content": SYSTEM[1]}] if system else []),
        {"role": "user", "content": "Where?"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        *({"role": "tool", "content": t} for t in ("20", "25")),
        {"role": "assistant", "content": "There."},
    ]
    request = InstructRequest(messages=official, available_tools=[Tool.model_validate(TOOL)])
    row = to_row({"messages": messages, "tools": [TOOL]})
    text = "".join(s.text for s in spans_of(job_with(template, agent="mistral"), row, NoTokenizer()))
    assert encoded(tekken, text) == InstructTokenizerV13(tekken).encode_instruct(request).tokens
