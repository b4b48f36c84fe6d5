"""A loss or a weight that is not finite ends the run: nothing that comes after it means anything."""

from __future__ import annotations

from typing import Any

import torch

from swift_core import SwiftError
from swift_plugin_runtime.loading.processor import tokenizer_of

SHOWN = 200
"""Characters of a row that an error shows."""


def check_loss(loss: torch.Tensor, inputs: Any, step: int, processor: Any) -> None:
    """SwiftError where the loss of a batch is NaN or infinite. step: optimizer steps taken before. loss: a scalar."""
    if bool(torch.isfinite(loss).all()):
        return
    rows = [f"\n  {row[:SHOWN]!r}" for row in rows_in(inputs, tokenizer_of(processor))]
    raise SwiftError(
        f"The loss of step {step + 1} is {float(loss)}, so the run ends; the checkpoints before it are whole. Lower "
        "--learning_rate, compute in --torch_dtype float32, or look at the rows of this batch:" + "".join(rows)
    )


def rows_in(inputs: Any, tokenizer: Any) -> list[str]:
    """The text of each row of a batch, or of the batches in it, padded or laid end to end."""
    if not isinstance(inputs, dict):
        return []
    ids = inputs.get("input_ids")
    if ids is None:
        return [row for value in inputs.values() for row in rows_in(value, tokenizer)]
    mask, places = inputs.get("attention_mask"), inputs.get("position_ids")
    if mask is not None and mask.shape == ids.shape:
        rows = [row[seen.bool()] for row, seen in zip(ids, mask, strict=True)]
    elif places is not None and len(ids) == 1:
        starts = (places.reshape(-1, places.shape[-1])[0] == 0).nonzero()[:, 0].tolist()
        rows = list(ids[0].tensor_split(starts[1:]))
    else:
        rows = list(ids)
    return [tokenizer.decode(row, skip_special_tokens=False) for row in rows]


def check_weights(model: Any) -> None:
    """SwiftError where a weight that trains is NaN or infinite: such a model is not saved."""
    for name, parameter in model.named_parameters():
        held = parameter.to_local() if hasattr(parameter, "to_local") else parameter
        if parameter.requires_grad and not bool(torch.isfinite(held).all()):
            raise SwiftError(
                f"{name} holds NaN or infinite weights after the last step, so they are not saved; the checkpoints "
                "before it are whole. Lower --learning_rate, or compute in --torch_dtype float32."
            )
