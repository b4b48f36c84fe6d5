"""Forms of answers with every kind of tokenizer: what a model may say is the form, and the text is what it says."""

from __future__ import annotations

import json
import random
import re

import pytest
import torch
from swift_plugin_runtime.inference.forms import BadForm, Forms
from swift_testing.templates import TEXTS, byte_level, metaspace
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from swift_core import SwiftError
from swift_core.contract.engine import Guide
from swift_core.inference.words import byte_letters, special_ids, token_bytes

MARKS = ("<|end|>", "<|call|>", "<think>", "</think>")
SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 6}, "ok": {"type": "boolean"}, "n": {"enum": [1, 25]}},
    "required": ["name", "ok", "n"],
    "additionalProperties": False,
}
TEXT = '{"name": "ab c", "ok": true, "n": 25}'


def fast(raw, **more):
    named = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>", **more}
    made = PreTrainedTokenizerFast(tokenizer_object=raw, **named)
    made.add_tokens([AddedToken(mark, special=mark.startswith("<|")) for mark in MARKS])
    return made


def stripped():
    """As Llama 2's: the space before the first word is not shown."""
    made = metaspace(MARKS)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    made.backend_tokenizer.decoder = decoders.Sequence(parts)
    return made


def unigram():
    """As T5's and Gemma's: pieces of SentencePiece, no bytes."""
    raw = Tokenizer(models.Unigram())
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    told = {"unk_token": "<unk>", "special_tokens": ["<pad>", "<unk>", "</s>"], "show_progress": False}
    letters = [chr(n) for n in range(33, 127)] + list("ïé日本🙂\n")
    raw.train_from_iterator(
        [*TEXTS, "".join(letters)] * 3, trainers.UnigramTrainer(vocab_size=600, initial_alphabet=letters, **told)
    )
    return fast(raw)


def word_piece():
    """As BERT's: a space before each word, `##` before what goes on."""
    raw = Tokenizer(models.WordPiece(unk_token="<unk>"))
    raw.normalizer, raw.pre_tokenizer = normalizers.NFC(), pre_tokenizers.Whitespace()
    raw.decoder = decoders.WordPiece(cleanup=False)
    letters = [chr(n) for n in range(33, 127)] + list("ïé日本🙂")
    trainer = trainers.WordPieceTrainer(
        vocab_size=900, special_tokens=["<pad>", "<unk>", "</s>"], initial_alphabet=letters, show_progress=False
    )
    raw.train_from_iterator([*TEXTS, " ".join(letters), "".join(letters)], trainer)
    return fast(raw)


class OfBytes:
    """As the first Qwen's: a tokenizer in Python whose vocabulary are bytes."""

    all_special_ids = (300,)

    def __init__(self):
        self.words = [bytes([n]) for n in range(256)] + [b'{"', b'": ', b", ", b" \xe6\x97", b"true"]
        self.added_tokens_decoder = {300: AddedToken("<|end|>", special=True)}

    def get_vocab(self):
        return {word: number for number, word in enumerate(self.words)}

    def __call__(self, text, add_special_tokens=False):
        ids, rest = [], text.encode()
        while rest:
            number = max((n for n, w in enumerate(self.words) if rest.startswith(w)), key=lambda n: len(self.words[n]))
            ids.append(number)
            rest = rest[len(self.words[number]) :]
        return {"input_ids": ids}

    def decode(self, ids, **_):
        return b"".join(self.words[n] if n < 300 else b"<|end|>" for n in ids).decode("utf-8", "replace")


KINDS = {
    "bytes as letters (GPT-2, Qwen, Llama 3)": lambda: byte_level(MARKS),
    "pieces and bytes": lambda: metaspace(MARKS),
    "pieces and bytes, no space before all (Llama 2)": stripped,
    "pieces (T5)": unigram,
    "bytes, in Python (tiktoken)": OfBytes,
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request):
    """One of each kind."""
    return KINDS[request.param]()


def end_of(tokenizer):
    return min(special_ids(tokenizer))


def forms_of(tokenizer):
    return Forms(tokenizer, max(len(token_bytes(tokenizer)), 301) + 5, [end_of(tokenizer)])


def written(tokenizer, ids):
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def drawn(forms, form, seed, most=200):
    """Ids of an answer of a model that likes all tokens alike."""
    ids, chance = [], torch.Generator().manual_seed(seed)
    while not form.complete and len(ids) < most:
        scores = torch.rand(forms.count, generator=chance)
        form.shape(scores)
        token = int(scores.argmax())
        form.take(token)
        if token in form.ends:
            break
        ids.append(token)
    return ids


def test_what_any_model_says_is_the_form(tokenizer):
    forms = forms_of(tokenizer)
    for seed in range(5):
        form = forms.form(Guide("json", json.dumps(SCHEMA)), [end_of(tokenizer)])
        text = written(tokenizer, drawn(forms, form, seed))
        said = json.loads(text)
        assert (list(said), said["n"] in (1, 25), form.complete) == (["name", "ok", "n"], True, True)
    for guide, pattern in (
        (Guide("regex", "(ab|c){2,4}-[0-9]{2}"), "(ab|c){2,4}-[0-9]{2}"),
        (Guide("choice", '["no", "yes, sir", "yes"]'), "no|yes, sir|yes"),
        (Guide("grammar", 'root ::= "<" [a-f]+ ">"'), "<[a-f]+>"),
    ):
        said = written(tokenizer, drawn(forms, forms.form(guide, [end_of(tokenizer)]), 3))
        assert re.fullmatch(pattern, said.strip()), (guide, said)


def test_the_texts_own_tokens_are_allowed(tokenizer):
    forms = forms_of(tokenizer)
    form = forms.form(Guide("json", json.dumps(SCHEMA)), [end_of(tokenizer)])
    ids = tokenizer(TEXT, add_special_tokens=False)["input_ids"]
    if written(tokenizer, ids) != TEXT:
        return  # this kind writes a space before all, or has no word for one before a mark
    for token in ids:
        scores = torch.zeros(forms.count)
        form.shape(scores)
        assert scores[token] == 0
        assert scores[end_of(tokenizer)] == -torch.inf
        form.take(token)
    assert form.complete


def test_bytes_of_tokens_are_the_text(tokenizer):
    table, chance = token_bytes(tokenizer), random.Random(0)
    for _ in range(40):
        text = "".join(chance.choice('ab c{"}:,日ï🙂1') for _ in range(12))
        ids = [n for n in tokenizer(text, add_special_tokens=False)["input_ids"] if n not in special_ids(tokenizer)]
        joined = b"".join(table[n] for n in ids).decode("utf-8", "replace")
        assert joined.strip() == written(tokenizer, ids).strip()
    assert len(byte_letters()) == 256


def test_thoughts_come_before_a_form():
    tokenizer = byte_level(MARKS)
    forms = forms_of(tokenizer)
    for opened in (False, True):
        for marks in (("<think>", "</think>"), ("<|call|>", "<|end|>"), ("[T]", "[/T]")):
            guide = Guide("regex", "[0-9]{3}", thoughts=marks, opened=opened)
            form = forms.form(guide, [end_of(tokenizer)])
            text = ("" if opened else marks[0]) + f"\nwell, 12\n{marks[1]}\n\n345"
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert form.matcher.deep_copy().validate_tokens(ids) == len(ids), (opened, marks)
            bare = tokenizer("345", add_special_tokens=False)["input_ids"]
            for token in bare:
                form.take(token)
            assert form.matcher.is_accepting() == (not opened), "words of an open thought are no answer"


@pytest.mark.parametrize(
    ("guide", "words"),
    [
        (Guide("json", '{"type": "array", "uniqueItems": true}', field="response_format"), "uniqueItems"),
        (Guide("json", '{"type": "strin"}'), "strin"),
        (Guide("json", '{"$ref": "http://127.0.0.1/x"}'), "not present"),
        (Guide("json", '{"minimum": 5, "maximum": 3, "type": "integer"}'), "greater than maximum"),
        (Guide("regex", "(?=a)b"), "look-around"),
        (Guide("regex", "(a"), "unclosed group"),
        (Guide("grammar", "start: nobody"), "nobody"),
        (Guide("grammar", "%%%"), "Expected name"),
        (Guide("choice", json.dumps(["x" * 70_000])), "a form may have 65536"),
    ],
)
def test_forms_that_cannot_be_kept_are_named(guide, words):
    with pytest.raises(BadForm, match=words) as caught:
        forms_of(byte_level(MARKS)).form(guide, [])
    assert caught.value.field == (guide.field or None) and "state:" not in str(caught.value)


def test_a_tokenizer_that_is_not_understood_is_refused():
    odd = OfBytes()
    odd.decode = lambda ids, **_: OfBytes.decode(odd, ids).lower()
    with pytest.raises(SwiftError, match="of this OfBytes stands for"):
        forms_of(odd).form(Guide("regex", "a"), [])
    assert special_ids(odd) == {300}
    with pytest.raises(SwiftError, match="another text at the beginning"):
        forms_of(word_piece()).form(Guide("regex", "a"), [])
