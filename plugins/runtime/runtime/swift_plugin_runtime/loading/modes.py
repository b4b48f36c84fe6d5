"""The modes that a model is in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """The model without dropout and without gradients, then in the mode it was in."""
    was = model.training
    if was:  # every module is told: with many adapters that is a walk
        model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        if was:
            model.train()
