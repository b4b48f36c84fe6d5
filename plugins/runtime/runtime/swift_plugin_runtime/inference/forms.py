"""Answers held to a form: a JSON schema, a regular expression, a grammar, one of several texts, tool calls.

llguidance keeps the forms. It and xgrammar were compared (1.9.1 and 0.2.9; both are alive and have wheels for a CPU):

- llguidance refuses a schema that has keywords which it does not know, and names them; a form that is only partly
  kept would be worse than none.
- It reads a form as it goes along, so that there is nothing to compile in advance, and it limits what a hostile form
  may cost in a step (`LLParserLimits`).
- Its wheel is 3 MB and needs nothing. xgrammar draws in triton and tvm-ffi.
- It takes a vocabulary as bytes, so that `token_bytes` serves it with byte-level vocabularies, SentencePiece with and
  without bytes, and tiktoken's, fast or in Python. WordPiece, with which no model here generates, is refused.

A mask is made for each answer by itself, right before its token is drawn. Answers without a form are not touched.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from threading import Lock
from typing import Any

import numpy
import torch

from swift_core import SwiftError
from swift_core.contract.engine import Guide
from swift_core.inference.words import special_ids, swallows_space, token_bytes

KEPT = 64
"""How many forms stay ready for further requests."""

STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""JSON as Python writes it: where any white space may stand, a weak model writes nothing else."""

SAMPLE = 'Hello you {"naïve": "日本 🙂", "n": [1, -2.5e3]}\n'
"""A text whose tokens' bytes must be the text."""

LONGEST = 400
"""Characters of llguidance's own words that an error repeats."""

MOST = 2**16
"""Characters of a form. A longer one would make its neighbours wait: a text that must come is tokenized as a whole."""

LONGEST_WORD = 32
"""Most bytes of a token that is looked for."""


class BadForm(SwiftError):
    """A form that cannot be kept. field: of the request, as the client called it."""

    def __init__(self, guide: Guide, why: str):
        super().__init__(f"{guide.field or guide.sort}: {' '.join(why.split())[:LONGEST]}")
        self.field = guide.field or None


class Form:
    """One answer's form, on its way. complete: nothing may follow any more. ends: tokens that end the answer."""

    def __init__(self, matcher: Any, ends: Iterable[int]):
        self.matcher, self.ends = matcher, frozenset(ends)
        self.complete = False
        self.error: Exception | None = None

    def shape(self, scores: torch.Tensor) -> None:
        """Scores [vocabulary] of what may not come next become -inf, in place. An error is raised by `take`.

        It must end this answer alone, not the step that it shares with others.
        """
        try:
            scores.masked_fill_(~self._allowed(len(scores)).to(scores.device), -torch.inf)
        except Exception as error:
            self.error = error
        if not self.error and not bool(scores.isfinite().any()):
            self.error = SwiftError("nothing that the form allows may be drawn: a bias or a least length forbids it.")

    def _allowed(self, count: int) -> torch.Tensor:
        """Which tokens may come next, bool [count]."""
        bits = numpy.frombuffer(self.matcher.compute_bitmask(), numpy.uint8)
        if self.matcher.is_error():
            raise SwiftError(f"the form cannot be kept: {_plain(self.matcher.get_error())[:LONGEST]}")
        known = torch.from_numpy(numpy.unpackbits(bits, bitorder="little")[:count].astype(bool))
        allowed = torch.zeros(count, dtype=torch.bool)
        allowed[: len(known)] = known
        allowed[[end for end in self.ends if end < count]] = bool(self.matcher.is_accepting())
        return allowed

    def take(self, token: int) -> None:
        """The next token. Raises SwiftError where the form could not be kept."""
        if self.error:
            raise self.error
        if token in self.ends:
            return
        if not self.matcher.consume_token(token):
            raise SwiftError(f"the form cannot be kept: {_plain(self.matcher.get_error())[:LONGEST]}")
        self.complete = bool(self.matcher.is_stopped())


class Forms:
    """The forms of one tokenizer. count: rows of the model's scores. ends: tokens that end an answer."""

    def __init__(self, tokenizer: Any, count: int, ends: Sequence[int]):
        self.tokenizer, self.count, self.eos = tokenizer, count, list(ends)
        self.lock = Lock()
        self.ready = lru_cache(KEPT)(self._ready)

    def form(self, guide: Guide, ends: Iterable[int]) -> Form:
        """A form at its beginning. Raises BadForm for one that cannot be kept."""
        with self.lock:
            matcher = self.ready(guide)
        return Form(matcher.deep_copy(), ends)

    def _ready(self, guide: Guide) -> Any:
        from llguidance import LLMatcher

        if not self.eos:
            raise BadForm(guide, "no token of this model ends an answer, so none can be held to a form.")
        if len(guide.text) > MOST:
            raise BadForm(guide, f"it has {len(guide.text)} characters, and a form may have {MOST}.")
        try:
            grammar = self._grammar(guide)
        except (ValueError, RecursionError) as error:
            raise BadForm(guide, str(error)) from None
        matcher = LLMatcher(self._words, grammar, log_level=0)
        matcher.compute_bitmask()
        if matcher.is_error():
            raise BadForm(guide, _plain(matcher.get_error()))
        return matcher

    @cached_property
    def _words(self) -> Any:
        """The vocabulary as llguidance takes it."""
        from llguidance import LLTokenizer, TokenizerWrapper

        table, special = token_bytes(self.tokenizer), special_ids(self.tokenizer)
        _check(self.tokenizer, table, special)
        table = [table[n] if n < len(table) else b"" for n in range(max(self.count, len(table)))]
        return LLTokenizer(TokenizerWrapper(_Words(self.tokenizer, table, special, self.eos)), eos_token=self.eos)

    def _grammar(self, guide: Guide) -> str:
        """The form in llguidance's notation, behind thoughts where there may be some."""
        from llguidance import LLMatcher, grammar_from

        if guide.sort == "json":
            said = LLMatcher.grammar_from_json_schema(guide.text, overrides=STYLE)
        elif guide.sort == "calls":
            said = LLMatcher.grammar_from_lark(self._calls(json.loads(guide.text)))
        else:
            said = grammar_from(guide.sort, guide.text)  # type: ignore[arg-type]
        if guide.thoughts is None and not self._first:
            return str(said)
        grammars = json.loads(said)["grammars"] if said.startswith("{") else [{"lark_grammar": said}]
        grammars[0]["name"] = "answer"
        around = self._thinking(guide.thoughts, guide.opened) if guide.thoughts else f"start: {self._first} @answer"
        return json.dumps({"grammars": [{"lark_grammar": around}, *grammars]})

    @cached_property
    def _first(self) -> str:
        return '" "?' if swallows_space(self.tokenizer, token_bytes(self.tokenizer)) else ""

    def _thinking(self, marks: tuple[str, str], opened: bool) -> str:
        opens, closes = marks
        if closes in self._special:
            thought = f"thought: /(?s:.*)/ {self._written(closes)}"
        else:
            thought = f"thought[suffix={_quoted(closes)}]: /(?s:.*)/"
        before = "thought BLANK?" if opened else f"({self._written(opens)} thought BLANK?)?"
        return f"start: {self._first} {before} @answer\n{thought}\nBLANK: /[ \\n]{{1,4}}/\n"

    def _calls(self, said: dict[str, Any]) -> str:
        """Calls as a grammar. said: as `forced_calls` writes it.

        rules: rule → its ways, each [text before, schema, rule behind] or [text]. opener: where words may stand instead
        of calls, the text that opens a call; its rest must follow then.
        """
        opener, rules = said["opener"], said["rules"]
        lines = ["start: calls"]
        if opener:
            rules["calls"] = [[way[0][len(opener) :], *way[1:]] for way in rules["calls"]]
            lines = [f"start: WORDS | opener calls\n{self._opener(opener)}\nWORDS: /(?s:.*)/"]
        for rule, ways in rules.items():
            lines.append(f"{rule}: " + " | ".join(" ".join(self._way(*way)) or '""' for way in ways))
        return "\n".join(lines)

    def _opener(self, text: str) -> str:
        """Words up to the text that opens a call. Words hold no special token, but anything else that they can."""
        special = min((place for name in self._special if name and (place := text.find(name)) >= 0), default=len(text))
        rest = self._written(text[special:]) if text[special:] else ""
        if not special:
            return f"opener: WORDS {rest}"
        return f"opener: words {rest}\nwords[lazy]: WORDS {_quoted(text[:special])}"

    def _way(self, text: str, schema: Any = None, behind: str | None = None) -> list[str]:
        parts = [self._written(text)] if text else []
        if behind is not None:
            parts += [f"%json {json.dumps({**schema, 'x-guidance': STYLE})}", behind]
        return parts

    @cached_property
    def _special(self) -> dict[str, int]:
        added = self.tokenizer.added_tokens_decoder
        return {str(added[number]): number for number in special_ids(self.tokenizer) if number in added}

    def _written(self, text: str) -> str:
        """A text in Lark, with its special tokens by their ids."""
        found = [(place, name) for name in self._special if name and (place := text.find(name)) >= 0]
        if not found:
            return _quoted(text)
        place, name = min(found, key=lambda pair: (pair[0], -len(pair[1])))
        before, behind = text[:place], text[place + len(name) :]
        parts = [_quoted(before) if before else "", f"<[{self._special[name]}]>"]
        return " ".join(filter(None, [*parts, self._written(behind) if behind else ""]))


class _Words:
    """A vocabulary as llguidance's wrapper wants it. A special token begins with a byte that no text has."""

    def __init__(self, tokenizer: Any, table: list[bytes], special: set[int], eos: list[int]):
        self.tokenizer, self.table, self.lock = copy.deepcopy(tokenizer), table, Lock()
        self.tokens = [b"\xff" + word if number in special else word for number, word in enumerate(table)]
        self.special_token_ids = sorted(special)
        self.eos_token_id, self.bos_token_id = eos[0], None
        self.first: dict[bytes, int] = {}
        for number, word in enumerate(table):
            self.first.setdefault(word, number)

    def __call__(self, text: str) -> list[int]:
        """The ids of a text that must come, as the tokenizer writes it; raises TypeError for bytes, which it does not.

        Where it writes another text there, the longest words that fit.
        """
        if not isinstance(text, str):
            raise TypeError("a text is needed")
        said = text.encode()
        for before in ("", "\n"):  # behind something, where a space would be put before a text
            with self.lock:
                ids = list(self.tokenizer(before + text, add_special_tokens=False)["input_ids"])
            for start in range(min(len(ids), 3)):
                if b"".join(self.table[number] for number in ids[start:]) == said:
                    return ids[start:]
        return self._longest(said)

    def _longest(self, text: bytes) -> list[int]:
        ids, place = list[int](), 0
        while place < len(text):
            sizes = range(min(LONGEST_WORD, len(text) - place), 0, -1)
            size = next((n for n in sizes if text[place : place + n] in self.first), 0)
            if not size:
                return ids
            ids.append(self.first[text[place : place + size]])
            place += size
        return ids


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _plain(error: str) -> str:
    """llguidance's words without its account of the parser."""
    return error.partition("<state>")[0].partition("\nstate:")[0].strip()


def _check(tokenizer: Any, table: list[bytes], special: set[int]) -> None:
    """SwiftError where the tokens' bytes side by side are not the text that they stand for."""
    ids = [number for number in tokenizer(SAMPLE, add_special_tokens=False)["input_ids"] if number not in special]
    wanted = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
    found = b"".join(table[number] for number in ids).decode("utf-8", "replace")
    if found.strip() != wanted.strip():
        name = type(tokenizer).__name__
        raise SwiftError(f"Answers cannot be held to a form: what a token of this {name} stands for is not known.")
