"""Matrix products in float32 on a CPU by oneDNN where MKL, which torch calls, leaves half of the processor idle.

MKL takes 256-bit instructions on processors that are not Intel's, whatever they can do; oneDNN, which torch has with it
as well, takes the 512 bits that they have. On an AMD EPYC it makes the products of a layer, forward and backward, in
less than half of the time. torch offers no switch for this, so the two operators are registered anew.

Products in bfloat16 go through oneDNN anyway. It makes a kernel for each shape, so for each number of tokens, and both
it and torch keep the last 1,024 of them, of a third of a MiB each: rows of ever other lengths fill a GiB with kernels
that no step meets again.
"""

from __future__ import annotations

import os
import platform
import warnings
from functools import cache
from pathlib import Path
from typing import Any

import torch

LEAST = 1 << 18
"""Products of numbers in a matrix product from which a call is worth a look at its operands."""

KEPT = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Environment variables for the number of kernels that oneDNN and torch keep; read at the first product."""

KERNELS = 128
"""Kernels to keep, more than the shapes of one step, where the variables say nothing. 150 steps of 250 tokens with LoRA
on a model of 32 million parameters: 814 MiB at most, 750 with 64, 1,571 with 1,024, and the same time."""


@cache
def quick_products() -> torch.library.Library | None:
    """From now on float32 products on this CPU go through oneDNN, if it has 512 bits that MKL does not take.

    The same operands give the same result each time; torch.backends.mkldnn.enabled = False sends them to MKL again.
    oneDNN keeps few kernels, unless the first product was before.
    """
    for name in KEPT:
        os.environ.setdefault(name, str(KERNELS))
    return register() if torch.backends.cpu.get_cpu_capability() == "AVX512" and not _of_intel() else None


def _of_intel() -> bool:
    try:
        told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        told = platform.processor()
    return "GenuineIntel" in told


def register() -> torch.library.Library:
    """Put `product` and `sum_and_product` in the place of torch's aten::mm and aten::addmm on CPUs."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that the operators had another kernel before
        library.impl("mm", product, "CPU")
        library.impl("addmm", sum_and_product, "CPU")
    return library


def product(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """left [a, b] · right [b, c]."""
    if _suited(left, right):
        return _onednn(left, right.t(), None, "none", [], "")
    return torch.ops.aten.mm.out(left, right, out=left.new_empty(len(left), right.shape[1]))


def sum_and_product(
    added: torch.Tensor, left: torch.Tensor, right: torch.Tensor, *, beta: Any = 1, alpha: Any = 1
) -> torch.Tensor:
    """beta · added + alpha · left [a, b] · right [b, c]; added: [c] or anything that grows to [a, c]."""
    bias = added.dim() == 1 and len(added) == right.shape[1] and added.dtype == torch.float32
    if bias and beta == alpha == 1 and added.is_contiguous() and _suited(left, right):
        return _onednn(left, right.t(), added, "none", [], "")
    out = left.new_empty(len(left), right.shape[1])
    return torch.ops.aten.addmm.out(added, left, right, beta=beta, alpha=alpha, out=out)


_onednn = torch.ops.mkldnn._linear_pointwise.default


def _suited(left: torch.Tensor, right: torch.Tensor) -> bool:
    """Whether both are float32 matrices in one block of memory, as they are or turned, and large enough."""
    if left.dtype != torch.float32 or right.dtype != torch.float32 or left.numel() * right.shape[1] < LEAST:
        return False
    return torch.backends.mkldnn.enabled and all(t.is_contiguous() or t.t().is_contiguous() for t in (left, right))
