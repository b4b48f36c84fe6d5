"""Texts cut at a tokenizer's added words: the parts have the tokens of the whole, or are not cut."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from swift_testing.templates import byte_level, metaspace
from tokenizers import AddedToken, normalizers, pre_tokenizers

from swift_core.templates.added_tokens import words_of
from swift_core.templates.encode import IGNORED, encode_spans
from swift_core.templates.render import Span

WORDS = ["<a>", "<a><b>", "b>", "<|end|>", "\n\n\n"]
TOKENIZER = byte_level(WORDS)
texts = some.lists(some.sampled_from([*WORDS, "<", "a>", ">", "|end|", "\n", " ", "\t", "hi", "é", "1", "</s>"])).map(
    "".join
)


def whole(text, tokenizer=TOKENIZER):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@settings(max_examples=500, deadline=None)
@given(some.lists(some.tuples(texts, some.sampled_from([0.0, 1.0])), max_size=5))
def test_parts_have_the_tokens_of_the_whole_text(pieces):
    """Overlapping words, words inside others, words across the borders of spans."""
    assert words_of(TOKENIZER)
    row = encode_spans(TOKENIZER, [[Span(text, weight) for text, weight in pieces if text]])[0]
    assert row["input_ids"] == whole("".join(text for text, _ in pieces))


@settings(max_examples=200, deadline=None)
@given(texts, some.lists(some.tuples(texts.filter(bool), some.sampled_from([0.0, 1.0, 2.0])), min_size=1, max_size=4))
def test_an_answer_begins_anew_and_its_weights_are_those_of_the_offsets(prompt, pieces):
    spans = [Span(text, weight, answer=True) for text, weight in pieces]
    row = encode_spans(TOKENIZER, [[Span(prompt), *spans] if prompt else spans])[0]
    answer = "".join(span.text for span in spans)
    before = whole(prompt)
    assert row["input_ids"] == before + whole(answer)
    weights = [weight for text, weight in pieces for _ in text]
    offsets = TOKENIZER(answer, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    wanted = [0.0] * len(before) + [max(weights[a:b]) for a, b in offsets]
    found = row.get("loss_scale") or [float(label != IGNORED) for label in row["labels"]]
    assert found[1:] == wanted[1:]


def test_words_that_are_added_later_count():
    tokenizer = byte_level([])
    assert encode_spans(tokenizer, [[Span("x<new>y")]])[0]["input_ids"] == whole("x<new>y", tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<new>"]})
    ids = encode_spans(tokenizer, [[Span("x<new>y")]])[0]["input_ids"]
    assert ids == whole("x<new>y", tokenizer)
    assert len(ids) == 3


def test_what_an_earlier_call_left_set_does_not_count():
    tokenizer = byte_level(["<a>"])
    tokenizer("a long text", padding="max_length", truncation=True, max_length=2, split_special_tokens=True)
    text = "one two three<a>four five six seven"
    ids = encode_spans(tokenizer, [[Span(text)]])[0]["input_ids"]
    assert ids == whole(text, tokenizer)
    assert tokenizer.convert_tokens_to_ids("<a>") in ids


def own_encoding():
    tokenizer = byte_level(["<a>"])
    tokenizer.__class__ = type("Own", (type(tokenizer),), {"_encode_plus": lambda *_, **__: None})
    return tokenizer


def stripping():
    tokenizer = byte_level([])
    tokenizer.add_special_tokens({"additional_special_tokens": [AddedToken("<a>", rstrip=True, normalized=False)]})
    return tokenizer


def prepending():
    tokenizer = byte_level(["<a>"])
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Prepend("_")])
    return tokenizer


def spacing():
    tokenizer = byte_level(["<a>"])
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(), pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    return tokenizer


@pytest.mark.parametrize("build", [lambda: metaspace(["<a>"]), own_encoding, stripping, prepending, spacing])
def test_a_tokenizer_for_which_a_cut_would_matter_is_left_alone(build):
    assert words_of(build()) is None
