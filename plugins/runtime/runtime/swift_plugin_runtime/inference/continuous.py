"""Requests admitted between tokens: one call of the model a step, for everyone who is being answered.

A step: drop who was cancelled, admit who waits, call the model once with the next token of every answer and with a
piece of the prompts that are new, draw, tell. A prompt that begins like another one's takes that one's keys and values.
A prompt with media is taken in whole, by a call of its own before the step's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from swift_core.contract.engine import Token
from swift_plugin_runtime.inference.adapters import Adapters, TokenAdapters
from swift_plugin_runtime.inference.asked import Asked, best
from swift_plugin_runtime.inference.likelihoods import likelihoods
from swift_plugin_runtime.inference.ragged import Part, Row, Store, attending
from swift_plugin_runtime.inference.sampler import Draw, drawn

CHUNK = 256
"""Most tokens of prompts in one step: so long at most do the answers under way pause."""

SHARED_FROM = 16
"""Least tokens of a common beginning for which keys and values are copied."""

MEDIA_TOKEN = re.compile(r"(image|video|audio)\w*_token_(id|index)$")
"""Fields of a configuration that name a token which stands for media: image_token_id, audio_token_index."""


@dataclass(eq=False)
class Sequence:
    """A request that was admitted. ids: its prompt and what was drawn. store: what the model has taken in of them.

    donor: a sequence that begins with the same `shared` tokens, from which they are copied once it holds them.
    """

    asked: Asked
    ids: list[int]
    store: Store
    draw: Draw
    donor: Sequence | None = None
    shared: int = 0

    @property
    def adapter(self) -> str | None:
        """Who answers."""
        return self.asked.request.adapter

    @property
    def whole(self) -> bool:
        """Whether its prompt has media and is still to be taken in, by a call of its own."""
        return bool(self.asked.media) and not self.store.length

    @property
    def left(self) -> int:
        """Tokens that the model has not taken in; 1 while the answer is drawn."""
        return len(self.ids) - self.store.length

    def part(self, count: int) -> Part:
        """Its next tokens. Behind all of them logits are due while the likelihoods of the prompt are asked for."""
        reads = self.asked.reads and self.store.length < len(self.asked.prompt)
        wanted = count if reads else int(count == self.left)
        return Part(
            self.store, self.ids[self.store.length :][:count], wanted, self.asked.inputs if self.whole else None
        )

    def lends(self, other: Sequence, common: int, media: frozenset[int]) -> bool:
        """Whether its keys and values are those of another's first `common` tokens, which both have.

        Where there are media, they must be the same and all of them in its prompt, of which the last token may be
        taken in again as a word. media: tokens that stand for media.
        """
        if not self.asked.media or not other.asked.media:
            return not self.asked.media and not other.asked.media
        prompt = self.asked.prompt
        enough = common >= len(prompt) or (common == len(prompt) - 1 and bool(media) and prompt[-1] not in media)
        return enough and self.asked.same_media(other.asked)

    def started(self) -> bool:
        """Take over the donor's beginning if it is there; False while it is to come."""
        if self.donor is None:
            return True
        if self.donor.store.length < self.shared and not self.donor.asked.ended:
            return False
        length = min(self.shared, self.donor.store.length)
        if length >= SHARED_FROM:
            self.store.copy(self.donor.store, length)
        self.donor = None
        return True


class Continuous:
    """The sequences being answered by one model, at most `slots`, which hold at most `most` tokens together."""

    def __init__(self, row: Row, adapters: Adapters | None, slots: int | None, most: int):
        self.row, self.adapters, self.slots, self.most = row, adapters, slots, most
        self.media = media_tokens(row.model.config)
        self.running: list[Sequence] = []
        self.ended: list[Sequence] = []
        """Answered ones whose beginnings may be used again, the oldest first."""
        self.tokens = TokenAdapters(row.model, adapters) if adapters and adapters.mix_tokens else None

    def admits(self, asked: Asked) -> bool:
        """Whether there is room for the request, among sequences that its adapter can be mixed with."""
        if not self.running:
            return True
        if self.slots and len(self.running) >= self.slots:
            return False
        if self.adapters and not self.tokens and asked.request.adapter != self.running[0].adapter:
            return False
        return self._reserved() + _most(asked) <= self.most

    def admit(self, asked: Asked) -> None:
        """Begin to answer."""
        draw = asked.draw(self.row.model.device)
        sequence = Sequence(asked, list(asked.prompt), Store(_most(asked)), draw)
        if not asked.reads:
            self._find_donor(sequence)
        self.running.append(sequence)
        while self.ended and self._reserved() + sum(s.store.most for s in self.ended) > self.most:
            self.ended.pop(0)

    def _reserved(self) -> int:
        return sum(sequence.store.most for sequence in self.running)

    def _find_donor(self, sequence: Sequence) -> None:
        """Of those answered by the same adapter, the one with the longest common beginning; the last token stays."""
        for other in [*self.ended, *self.running]:
            if other.adapter == sequence.adapter:
                held = other.ids if other in self.running else other.ids[: other.store.length]
                common = common_length(held, sequence.ids[:-1])
                longer = common > max(sequence.shared, SHARED_FROM - 1)
                if longer and other.lends(sequence, common, self.media):
                    sequence.donor, sequence.shared = other, common

    def step(self) -> list[Asked]:
        """One call of the model, before it one for a prompt with media; returns the requests that are ended by it.

        Some sequence must be running.
        """
        self._drop()
        for chosen in self._chosen():
            if chosen:
                self._call(chosen)
        return self._drop()

    def _chosen(self) -> tuple[list[tuple[Sequence, int]], list[tuple[Sequence, int]]]:
        """Who takes in how many tokens in this step: one whole prompt with media at most, and all the others."""
        whole: list[tuple[Sequence, int]] = []
        chosen, room = [], CHUNK
        for sequence in self.running:
            if not sequence.started():
                continue
            if sequence.whole:
                whole = whole or [(sequence, sequence.left)]
                continue
            count = sequence.left if sequence.left == 1 else min(sequence.left, room)
            if count > 1 or sequence.left == 1:
                room -= count if sequence.left > 1 else 0
                chosen.append((sequence, count))
        return whole, chosen

    def _call(self, chosen: list[tuple[Sequence, int]]) -> None:
        """The call and its draws; where it fails, halves of it, down to the sequence that is to blame."""
        parts = [s.part(count) for s, count in chosen]
        lengths = [s.store.length for s, _ in chosen]
        try:
            with self._speaking([(s.adapter, count) for s, count in chosen]):
                logits = self.row.whole(parts[0]) if parts[0].inputs else self.row(parts)
            wanted, scores = _due(chosen, parts, lengths, logits)
            likely = _Likely(wanted, scores)
            tokens = best(drawn([s.draw for s in wanted], lambda place: _ids(wanted[place], scores), scores))
            told = likely.of(tokens)
        except Exception as error:
            for (sequence, _), length in zip(chosen, lengths, strict=True):
                sequence.store.length = length
            if len(chosen) == 1:
                return chosen[0][0].asked.fail(error)
            middle = len(chosen) // 2
            self._call(chosen[:middle])
            return self._call(chosen[middle:])
        for sequence, token, told_of in zip(wanted, tokens, told, strict=True):
            sequence.ids.append(token)
            sequence.asked.take(token, told_of)

    def _speaking(self, owners: list[tuple[str | None, int]]) -> AbstractContextManager[Any]:
        """The adapters of the next call. owners: (adapter, tokens) along the row."""
        if self.adapters is None:
            return _as_it_is()
        return self.tokens.of(owners) if self.tokens else self.adapters.active([owners[0][0]])

    @contextmanager
    def ready(self) -> Iterator[None]:
        """The model as `step` needs it, then as it was."""
        with attending(self.row.model), self.tokens.installed() if self.tokens else _as_it_is():
            yield

    def _drop(self) -> list[Asked]:
        """Take out the sequences that are ended; returns their requests."""
        gone = [sequence for sequence in self.running if sequence.asked.ended]
        if gone:
            self.running = [sequence for sequence in self.running if not sequence.asked.ended]
            self.ended = [*self.ended, *gone][-(self.slots or len(gone)) :]
        if not self.running and self.slots is None:  # rollouts: the memory is for training now
            self.ended = []
        return [sequence.asked for sequence in gone]

    def renew(self, model: Any, gone: str | None = None) -> None:
        """Go on with a model whose adapters have changed. gone: the one that was taken out."""
        self.row.model = model
        self.tokens = TokenAdapters(model, self.adapters) if self.adapters and self.adapters.mix_tokens else None
        self.ended = [sequence for sequence in self.ended if gone is None or sequence.adapter != gone]

    def forget(self) -> None:
        """Drop the keys and values of answered sequences: the weights may change."""
        self.ended = []


def _due(
    chosen: list[tuple[Sequence, int]], parts: list[Part], lengths: list[int], logits: torch.Tensor
) -> tuple[list[Sequence], torch.Tensor]:
    """(whose next token is due, its scores [sequences, vocabulary]); prompts are read on the way.

    lengths: tokens that each sequence had taken in before. A sequence that shall say nothing ends with its prompt.
    """
    due, lines = [], []
    blocks = logits.split([part.wanted for part in parts])
    for (sequence, count), length, block in zip(chosen, lengths, blocks, strict=True):
        asked = sequence.asked
        if asked.reads and length < len(asked.prompt):
            asked.read_in(length, block)
        if length + count < len(sequence.ids):
            continue
        if asked.writer.limit:
            due.append(sequence)
            lines.append(block[-1:])
        else:
            asked.writer.end("length")
    everything = len(lines) == len(logits)  # nearly always: no copy then
    return due, logits if everything else torch.cat(lines) if lines else logits[:0]


class _Likely:
    """The likelihoods of tokens that are about to be drawn: drawing writes over their scores."""

    def __init__(self, sequences: list[Sequence], scores: torch.Tensor):
        asked = [sequence.asked.request.sampling.logprobs for sequence in sequences]
        self.most = {place: most for place, most in enumerate(asked) if most is not None}
        self.count, self.scores = len(sequences), scores[list(self.most)] if self.most else scores[:0]

    def of(self, tokens: list[int]) -> list[Token | None]:
        """Of each token that was drawn; None where nobody asks."""
        told: list[Token | None] = [None] * self.count
        found = likelihoods(self.scores, [tokens[place] for place in self.most], list(self.most.values()))
        for place, token in zip(self.most, found, strict=True):
            told[place] = token
        return told


@contextmanager
def _as_it_is() -> Iterator[None]:
    yield


def media_tokens(config: Any) -> frozenset[int]:
    """The tokens that stand for media in a prompt, as a configuration names them."""
    named = {name: value for name, value in vars(config).items() if MEDIA_TOKEN.search(name)}
    return frozenset(value for value in named.values() if isinstance(value, int))


def _most(asked: Asked) -> int:
    return len(asked.prompt) + asked.writer.limit


def _ids(sequence: Sequence, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(sequence.ids, device=like.device)


def common_length(one: list[int], other: list[int]) -> int:
    """How many tokens two texts have in common at their beginning."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        same = one[low:middle] == other[low:middle]
        low, high = (middle, high) if same else (low, middle - 1)
    return low
