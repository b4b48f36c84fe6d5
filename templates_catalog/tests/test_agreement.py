"""Every template: spans, Jinja and Ollama's form write one text; labels are the answers; prompts are prefixes."""

from __future__ import annotations

from importlib import resources

import pytest
from swift_testing.templates import (
    blocks_of,
    by_jinja,
    by_ollama,
    byte_level,
    jinja_of,
    job_with,
    metaspace,
    spans,
    special_tokens,
    text_of,
    trained_of,
)

from swift_core.catalogue.entries import Catalogue
from swift_core.contract.errors import SwiftError
from swift_core.templates.encode import IGNORED, encode_spans

FILES = sorted(f.name.removesuffix(".toml") for f in resources.files("swift_templates_catalog.templates").iterdir())
TEMPLATES = {n: e.load() for n in FILES for e in [Catalogue.installed().find("template", n)]}

ROUNDS = [
    ("What is in the picture?", "The answer is here."),
    ("And in Beijing, 北京?", "今天北京的天气很好。\n\n再见!"),
    ("def add(a, b)?", "def add(a, b):\n    return a + b"),
]
THOUGHTS = ["First I look.", "北京 is a city.\nSo I say what I know.", "One line."]
SYSTEM = {"role": "system", "content": "You are brief.\n\nAlways."}


def chat(rounds, thoughts=()):
    said = [t and f"<think>\n{t}\n</think>\n\n" for t in thoughts] + [""] * (len(rounds) - len(thoughts))
    pairs = [(q, s + a) for (q, a), s in zip(rounds, said, strict=True)]
    return [{"role": r, "content": c} for pair in pairs for r, c in zip(("user", "assistant"), pair, strict=True)]


def conversations(template):
    """One and three rounds, without and with a system text, as far as the template takes them."""
    plain = [chat(ROUNDS[:1])] if template.single else [chat(ROUNDS[:1]), chat(ROUNDS)]
    takes = template.system or template.late_system
    return [*plain, *([SYSTEM, *c] for c in plain if takes)]


def thoughtful(template):
    """The same with thoughts in some answers."""
    last = [chat(ROUNDS[:1], THOUGHTS[:1]), chat(ROUNDS, ["", "", THOUGHTS[2]])]
    both = [chat(ROUNDS, THOUGHTS), [SYSTEM, *chat(ROUNDS[:2], THOUGHTS[:1])]]
    return [*last, *both] if template.thinking else []


@pytest.fixture(scope="module")
def tokenizers():
    specials = special_tokens(TEMPLATES.values())
    return {"byte-level": byte_level(specials), "metaspace": metaspace(specials)}


@pytest.fixture(scope="module")
def tokenizer(tokenizers):
    return tokenizers["byte-level"]


@pytest.fixture(params=FILES)
def template(request):
    return TEMPLATES[request.param]


def test_the_jinja_form_writes_the_same_text(template, tokenizer):
    form = jinja_of(template, tokenizer)
    job = job_with(template, "last_round")
    for messages in [*conversations(template), *thoughtful(template)]:
        assert by_jinja(form, tokenizer, messages) == text_of(job, messages, tokenizer)
        prompt = text_of(job, messages, tokenizer, generation=True)
        assert by_jinja(form, tokenizer, messages[:-1], generation=True) == prompt
    for wanted in (True, False) if template.thinking else ():
        job = job_with(template, enable_thinking=wanted, preserve_thinking=wanted)
        options = {"enable_thinking": wanted, "preserve_thinking": wanted}
        for messages in thoughtful(template):
            assert by_jinja(form, tokenizer, messages, **options) == text_of(job, messages, tokenizer)
            prompt = text_of(job, messages, tokenizer, generation=True)
            assert by_jinja(form, tokenizer, messages[:-1], generation=True, **options) == prompt


def test_the_ollama_form_writes_the_same_prompt(template, tokenizer):
    for think in (None, True, False) if template.thinking else (None,):
        job = job_with(template, enable_thinking=think)
        off_query = template.thinking is not None and template.thinking.off_query and think is False
        for messages in [*conversations(template), *thoughtful(template)]:
            ours = text_of(job, messages, tokenizer, generation=True)
            bos = template.opening(tokenizer) or ("<s>" if ours.startswith("<s>") else "")
            theirs = by_ollama(template, tokenizer, messages[:-1], think)
            assert (bos + theirs).replace("<s><s>", "<s>") == ours.replace("<s><s>", "<s>"), off_query


def test_only_answers_and_their_ends_are_trained(template, tokenizer):
    form = jinja_of(template, tokenizer)
    job = job_with(template)
    for messages in [*conversations(template), *thoughtful(template)]:
        trained = trained_of(job, messages, tokenizer)
        blocks = blocks_of(form, tokenizer, messages, preserve_thinking=True)
        assert trained == blocks
        row = encode_spans(tokenizer, [spans(job, messages, tokenizer)])[0]
        assert row["labels"][0] == IGNORED
        said = tokenizer.decode([i for i in row["labels"] if i != IGNORED])
        for message in messages:
            answer = message["content"].rpartition("</think>\n\n")[2]
            assert (answer in said) == (message["role"] == "assistant")


def by_segments(tokenizer, spans):
    """The plain twin of encoding: (ids, labels), token by token from the offsets of transformers' own call.

    Each answer begins anew where a token would reach into it.
    """
    done = tokenizer("".join(s.text for s in spans), add_special_tokens=False, return_offsets_mapping=True)
    offsets, ids, at = done["offset_mapping"], done["input_ids"], 0
    trained = set()
    for n, span in enumerate(spans):
        starts = span.answer and n and not spans[n - 1].answer
        if starts and any(a < at < b for a, b in offsets):
            (left, said), (right, also) = by_segments(tokenizer, spans[:n]), by_segments(tokenizer, spans[n:])
            return left + right, said + also
        if span.weight:
            trained.update(range(at, at + len(span.text)))
        at += len(span.text)
    return ids, [bool(trained.intersection(range(a, b))) for a, b in offsets]


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_ids_and_labels_are_those_of_the_definition(template, tokenizers, kind):
    tokenizer, job = tokenizers[kind], job_with(template)
    batch = [spans(job, messages, tokenizer) for messages in [*conversations(template), *thoughtful(template)]]
    for row, pieces in zip(encode_spans(tokenizer, batch), batch, strict=True):
        ids, trained = by_segments(tokenizer, pieces)
        assert row["input_ids"] == ids
        assert row["labels"] == [IGNORED, *(i if t else IGNORED for i, t in zip(ids[1:], trained[1:], strict=True))]


@pytest.mark.parametrize("kind", ["byte-level", "metaspace"])
def test_the_prompt_is_how_the_training_row_begins(template, tokenizers, kind):
    tokenizer = tokenizers[kind]
    for messages, wanted in [
        *((c, False) for c in conversations(template)),
        *((c, True) for c in thoughtful(template)),
    ]:
        job = job_with(template, "last_round", enable_thinking=wanted)
        for upto in [n for n, m in enumerate(messages, 1) if m["role"] == "assistant"]:
            if wanted and "<think>" not in messages[upto - 1]["content"]:
                continue  # an answer without thoughts does not follow the prompt that asks for them
            row = encode_spans(tokenizer, [spans(job, messages[:upto], tokenizer)])[0]["input_ids"]
            prompt = encode_spans(tokenizer, [spans(job, messages[:upto], tokenizer, generation=True)])[0]["input_ids"]
            assert row[: len(prompt)] == prompt
            assert len(row) > len(prompt)


def test_a_system_text_takes_the_default_ones_place_or_is_refused(template, tokenizer):
    job, messages = job_with(template), chat(ROUNDS[:1])
    given = [{"role": "system", "content": "Speak in verse."}, *messages]
    if not (template.system or template.late_system):
        with pytest.raises(SwiftError, match="no place for a system message"):
            text_of(job, given, tokenizer)
        return
    text, plain = text_of(job, given, tokenizer), text_of(job, messages, tokenizer)
    assert "Speak in verse." in text and "Speak in verse." not in plain
    if template.default_system:
        assert template.default_system in plain and template.default_system not in text


def test_several_rounds_are_written_or_refused(template, tokenizer):
    if template.single:
        with pytest.raises(SwiftError, match="several rounds"):
            text_of(job_with(template), chat(ROUNDS), tokenizer)
    else:
        text = text_of(job_with(template), chat(ROUNDS), tokenizer)
        places = [text.index(m["content"].strip()) for m in chat(ROUNDS)]
        assert places == sorted(places)


def test_a_template_says_where_it_comes_from(template):
    assert template.summary and len(template.summary) <= 120
    assert template.source or template.name == "plain"


def test_no_two_files_declare_the_same_template():
    seen = {}
    for name, template in TEMPLATES.items():
        facts = {k: v for k, v in vars(template).items() if k not in ("name", "summary", "source", "aliases")}
        facts["thinking"] = vars(template.thinking) if template.thinking else None
        assert seen.setdefault(repr(sorted(facts.items(), key=str)), name) == name
