"""A request on its way to its answer."""

from __future__ import annotations

from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import torch

from swift_core.contract.engine import Heard, Reply, Request
from swift_core.contract.job import Job
from swift_core.inference.ending import Writer, reply_of


@dataclass(eq=False)
class Asked:
    """A request, encoded, with its answer in the making.

    inputs: the encoded prompt. writer: takes the answer's tokens. future: the reply to come; cancelling it ends the
    answer between two tokens.
    """

    job: Job
    request: Request
    inputs: dict[str, Any]
    writer: Writer
    heard: Heard | None = None
    future: Future[Reply] = field(default_factory=Future)

    @property
    def prompt(self) -> list[int]:
        """The tokens of the prompt."""
        ids: list[int] = self.inputs["input_ids"]
        return ids

    @property
    def plain(self) -> bool:
        """Whether the prompt is its tokens alone: no media, and nothing else that the model is told about it."""
        beside = (v for k, v in self.inputs.items() if k not in ("input_ids", "attention_mask", "labels", "loss_scale"))
        return all(isinstance(value, list) and not any(value) for value in beside)

    @property
    def ended(self) -> bool:
        """Whether no token is wanted any more."""
        return bool(self.writer.reason) or self.future.done()

    def take(self, token: int) -> None:
        """The next token of the answer; what goes wrong with it is the future's exception."""
        try:
            self.writer.add(token)
            piece = self.writer.piece() if self.heard else ""
            if piece and self.heard and not self.heard(piece) and not self.writer.reason:
                self.writer.end("stop")
        except Exception as error:  # a bug in a listener or a plugin's decode ends this answer, not its neighbours
            self.fail(error)

    def finish(self) -> None:
        """Hand over the reply."""
        writer = self.writer
        counts = (len(self.prompt), len(writer.ids))
        try:
            reply = reply_of(self.job, self.request, writer.text, writer.reason, counts, writer.ids)
        except Exception as error:
            self.fail(error)
        else:
            with suppress(InvalidStateError):  # cancelled meanwhile
                self.future.set_result(reply)

    def fail(self, error: BaseException) -> None:
        """Hand over an exception instead."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)


def best(scores: torch.Tensor) -> list[int]:
    """The place of the greatest of each row, scores [rows, vocabulary]."""
    places: list[int] = scores.argmax(-1).tolist()
    return places
