"""Rows whose tokens are shared among processes: the losses of such a model, as if it had seen the rows whole.

A strategy (`swift-plugin-sequence`) registers how it cuts the batches of a model. Whoever needs a loss per token asks
here: the model sees this process's tokens alone, and the losses of all processes are joined, so that every process of
a group computes the same loss of the same rows. Labels are shifted before they are cut, as the token behind a cut is
another process's.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch.nn import functional

from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.loading.layers import base_of, keeps_logits


class Cut(Protocol):
    """How rows are cut among the processes of a group; `tokens` below are those of the batch, `mine` this process's."""

    def taking(self, inputs: dict[str, Any]) -> AbstractContextManager[dict[str, Any]]:
        """Inside, the model may be called with the inputs that this gives: those of this process.

        inputs: a batch without labels. Raises SwiftError for inputs that cannot be cut.
        """

    def part(self, values: torch.Tensor, fill: float) -> torch.Tensor:
        """This process's part, [rows, mine], of values [rows, tokens]; fill: what stands behind the row's end."""

    def joined(self, mine: torch.Tensor, tokens: int) -> torch.Tensor:
        """All processes' parts as [rows, tokens], on each of them; the gradient is that of the sum over processes."""

    def total(self, share: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' shares, of its shape, on each; the gradient is that of the sum over processes."""


_CUTS: WeakKeyDictionary[Any, Cut] = WeakKeyDictionary()
"""Model without its wrappers → how its batches are cut."""


def cut_batches(model: Any, cut: Cut) -> None:
    """From now on the batches of a model are cut."""
    _CUTS[base_of(model)] = cut


def cut_of(model: Any) -> Cut | None:
    """How the batches of a model are cut, wrapped or not; None where it sees them whole."""
    return _CUTS.get(base_of(model))


def targets_of(labels: torch.Tensor) -> torch.Tensor:
    """The label of the next token at each place, [rows, tokens]; nothing follows the last one."""
    return functional.pad(labels[:, 1:], (0, 1), value=IGNORED)


def joined_losses(
    cut: Cut, model: Any, inputs: dict[str, Any], labels: torch.Tensor, temperature: float = 1.0
) -> tuple[torch.Tensor, Any]:
    """(losses of the trained tokens in nats, [rows, tokens - 1], place t for token t + 1, else 0; the outputs).

    temperature: the logits are divided by it.
    """
    targets = cut.part(targets_of(labels), IGNORED)
    wanted = targets != IGNORED
    with cut.taking(inputs) as mine:
        if keeps_logits(model):
            places = wanted.any(0).nonzero()[:, 0]
            places = places if len(places) else places.new_zeros(1)  # every process goes through the head
            outputs = model(**mine, use_cache=False, logits_to_keep=places)
            logits = outputs.logits[wanted[:, places]]
        else:
            outputs = model(**mine, use_cache=False)
            logits = outputs.logits[wanted]
    losses = functional.cross_entropy(logits.float() / temperature, targets[wanted], reduction="none")
    laid = losses.new_zeros(targets.shape).masked_scatter(wanted, losses)
    return cut.joined(laid, labels.shape[1])[:, :-1], outputs
