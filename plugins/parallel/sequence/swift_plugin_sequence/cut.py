"""Rows cut among processes: which tokens a process holds, and the proof that a model does not notice."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from swift_plugin_runtime.batching.cutting import cut_batches
from swift_plugin_runtime.batching.padding_free import set_attention, why_never_flat
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.training.probe import check_same, made_up, probe, watched
from swift_plugin_runtime.training.sharding import whole_tensor
from swift_plugin_runtime.training.trainer import token_losses
from torch.distributed.device_mesh import init_device_mesh
from torch.nn import functional

from swift_core import SwiftError
from swift_plugin_sequence.attention import LAYOUT, NAME, Groups, Layout, Sum

TAKEN = ("input_ids", "position_ids", "attention_mask")
"""Inputs of a model that can be cut."""

PROBE = 24
"""Tokens of each made-up row beyond the number of processes."""


class CutRows:
    """The rows of a batch as the processes of `groups` share them; see `swift_plugin_runtime.batching.cutting.Cut`."""

    def __init__(self, groups: Groups):
        self.groups = groups

    @contextmanager
    def taking(self, inputs: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Inside, the model may be called with the inputs that this gives. SwiftError for what cannot be cut."""
        strange = sorted(inputs.keys() - {*TAKEN})
        if strange:
            raise SwiftError(f"--sequence_parallel_size cuts rows of text, and this batch holds {', '.join(strange)}.")
        ids = inputs["input_ids"]
        places = inputs.get("position_ids")
        if places is None:
            places = torch.arange(ids.shape[1], device=ids.device)[None]
        token = LAYOUT.set(self._layout(inputs, places))
        try:
            yield {"input_ids": self.part(ids, 0), "position_ids": self.part(places, 0)}
        finally:
            LAYOUT.reset(token)

    def _layout(self, inputs: dict[str, Any], places: torch.Tensor) -> Layout:
        """Rows begin where positions do; before a padded row's first token, padding sees itself alone."""
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        if mask is None:
            begins = (places[:, 1:] != places[:, :-1] + 1).expand(len(ids), -1)
            starts = [[0, *(row.nonzero()[:, 0] + 1).tolist()] for row in begins]
        else:
            starts = [sorted({0, first}) for first in mask.int().argmax(1).tolist()]
        return Layout(self.groups, starts, self._filled(ids.shape[1]))

    def _filled(self, tokens: int) -> int:
        return math.ceil(tokens / self.groups.multiple) * self.groups.multiple

    def part(self, values: torch.Tensor, fill: float) -> torch.Tensor:
        """This process's part, [rows, mine], of values [rows, tokens]."""
        whole = functional.pad(values, (0, self._filled(values.shape[1]) - values.shape[1]), value=fill)
        pieces = [whole[:, low:high] for low, high in Layout(self.groups, [], whole.shape[1]).pieces()]
        heads, place = self.groups.sizes[0], self.groups.ranks[0]
        return torch.cat(pieces, dim=1).chunk(heads, dim=1)[place].contiguous()

    def joined(self, mine: torch.Tensor, tokens: int) -> torch.Tensor:
        """All processes' parts as [rows, tokens]."""
        places = self.part(torch.arange(self._filled(tokens), device=mine.device)[None], 0)[0]
        laid = mine.new_zeros(len(mine), self._filled(tokens)).index_copy(1, places, mine)
        return self.total(laid)[:, :tokens]

    def total(self, share: torch.Tensor) -> torch.Tensor:
        """The sum of all processes' shares, any shape."""
        return Sum.apply(share, self.groups)


def share_rows(model: Any, device: Any, size: int) -> str:
    """Cut the batches of `model` among each `size` neighbouring processes; returns a line that says how.

    Raises SwiftError, with the reason, where a cut model does not compute what a whole one does.
    """
    base = base_of(model)
    before = base.config.get_text_config()._attn_implementation
    if reason := why_never_flat(model):
        raise SwiftError(f"--sequence_parallel_size {size} is not possible here: {reason}.")
    if before not in ("sdpa", "swift_segments", NAME):
        raise SwiftError(
            f"--sequence_parallel_size {size} cuts the attention of torch (sdpa), and {type(base).__name__} has "
            f"{before}."
        )
    heads = math.gcd(size, base.config.get_text_config().num_attention_heads)
    shape = (dist.get_world_size() // size, size // heads, heads)
    mesh = init_device_mesh(device.type, shape, mesh_dim_names=("data", "ring", "heads"))
    cut = CutRows(Groups(mesh["heads"].get_group(), mesh["ring"].get_group()))
    names = watched(model)
    whole = [whole_tensor(value) for value in _probe(model, names)]
    set_attention(base, NAME)
    cut_batches(model, cut)
    losses, *gradients = _probe(model, names)
    joined = [losses, *(_mean(gradient, cut.groups) for gradient in gradients)]
    check_same(model, whole, joined, f"--sequence_parallel_size {size}", _CAUSE)
    pieces = f", {size // heads} of them by two pieces of the row each" if heads < size else ""
    return f"sequence parallelism: {size} processes share the tokens of each row, {heads} by attention heads{pieces}"


def _mean(gradient: Any, groups: Groups) -> torch.Tensor:
    """The mean of a gradient over the processes; that of a part is one already."""
    if hasattr(gradient, "full_tensor"):
        return whole_tensor(gradient)
    mean: torch.Tensor = Sum.apply(gradient.contiguous(), groups) / math.prod(groups.sizes)
    return mean


_CAUSE = "Something in it looks further than a token by other ways than attention; leave the option out."


def _probe(model: Any, names: list[str]) -> list[torch.Tensor]:
    """Losses of two made-up rows end to end, and the named gradients."""
    length = PROBE + dist.get_world_size()
    ids = made_up(model, 2 * length)
    places = torch.arange(length, device=model.device).repeat(2)[None]
    return probe(model, names, lambda: token_losses(model, {"input_ids": ids, "position_ids": places}, ids)[0])
