"""A request on its way to its answer."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from swift_core.contract.engine import Heard, Piece, Reply, Request, Token
from swift_core.contract.job import Job
from swift_core.inference.ending import Writer, reply_of
from swift_plugin_runtime.inference.forms import Form
from swift_plugin_runtime.inference.likelihoods import likelihoods
from swift_plugin_runtime.inference.sampler import Draw

OF_TEXT = ("input_ids", "attention_mask", "labels", "loss_scale")
"""Keys of an encoded row that a prompt of text has, too."""


@dataclass(eq=False)
class Asked:
    """A request, encoded, with its answer in the making.

    inputs: the encoded prompt. writer: takes the answer's tokens. future: the reply to come; cancelling it ends the
    answer between two tokens. form: what holds the answer to a form. tokens, read: those of the answer and of the
    prompt with their likelihoods, as far as they are asked for.
    """

    job: Job
    request: Request
    inputs: dict[str, Any]
    writer: Writer
    heard: Heard | None = None
    form: Form | None = None
    future: Future[Reply] = field(default_factory=Future)
    tokens: list[Token] = field(default_factory=list)
    read: list[Token] = field(default_factory=list)
    told: int = 0

    @property
    def prompt(self) -> list[int]:
        """The tokens of the prompt."""
        ids: list[int] = self.inputs["input_ids"]
        return ids

    @cached_property
    def media(self) -> dict[str, Any]:
        """What the model is told beside the prompt's tokens: pictures, marks of their places. Empty for text."""
        beside = {k: v for k, v in self.inputs.items() if k not in OF_TEXT}
        return {} if all(isinstance(value, list) and not any(value) for value in beside.values()) else beside

    def same_media(self, other: Asked) -> bool:
        """Whether both are told the same media, in the same order."""
        mine, theirs = self._unaligned(), other._unaligned()
        return mine.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in mine.items())

    def _unaligned(self) -> dict[str, Any]:
        """The media without what runs along the tokens, which follows from them."""
        length = len(self.prompt)
        return {k: v for k, v in self.media.items() if not (isinstance(v, list) and len(v) == length)}

    @property
    def ended(self) -> bool:
        """Whether no token is wanted any more."""
        return bool(self.writer.reason) or self.future.done()

    @property
    def reads(self) -> bool:
        """Whether the likelihoods of the prompt are asked for."""
        return self.request.sampling.prompt_logprobs is not None

    def draw(self, device: torch.device) -> Draw:
        """How its tokens are drawn."""
        return Draw.of(self.request, device, self.writer.ids, self.writer.ending.ids, self.form)

    def read_in(self, start: int, scores: torch.Tensor) -> None:
        """Keep the likelihoods of the prompt's tokens.

        scores: logits behind those from `start` on, float32 [tokens, vocabulary].
        """
        ids = self.prompt[start + 1 : start + 1 + len(scores)]
        most = [self.request.sampling.prompt_logprobs or 0] * len(ids)
        first = [] if start else [Token(self.prompt[0])]
        self.read[start + bool(start) :] = [*first, *likelihoods(scores[: len(ids)], ids, most)]

    def take(self, token: int, likely: Token | None = None) -> None:
        """The next token of the answer; what goes wrong with it is the future's exception."""
        try:
            if likely:
                self.tokens.append(likely)
            if self.form:
                self.form.take(token)
            self.writer.add(token)
            if self.form and self.form.complete and not self.writer.reason:
                self.writer.end("stop")
            if self.heard:
                self._tell(self.heard)
        except Exception as error:  # a bug in a listener or a plugin's decode ends this answer, not its neighbours
            self.fail(error)

    def _tell(self, heard: Heard) -> None:
        piece = self.writer.piece()
        if not piece:
            return
        told, self.told = self.told, len(self.tokens)
        if not heard(Piece.of(piece, self.tokens[told:])) and not self.writer.reason:
            self.writer.end("stop")

    def finish(self) -> None:
        """Hand over the reply."""
        writer = self.writer
        counts = (len(self.prompt), len(writer.ids))
        try:
            reply = reply_of(self.job, self.request, writer.text, writer.reason, counts, writer.ids)
            reply.tokens, reply.prompt = self.tokens, self.read
        except Exception as error:
            self.fail(error)
        else:
            with suppress(InvalidStateError):  # cancelled meanwhile
                self.future.set_result(reply)

    def fail(self, error: BaseException) -> None:
        """Hand over an exception instead."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one is other or torch.equal(one, other)
    return bool(one == other)


def best(scores: torch.Tensor) -> list[int]:
    """The place of the greatest of each row, scores [rows, vocabulary]."""
    places: list[int] = scores.argmax(-1).tolist()
    return places
