"""bfloat16 matrix products on a CPU without instructions for them, where torch takes a hundred times as long.

The same numbers come out as such instructions give: products of the bfloat16 entries are summed in float32, and the sum
is rounded once. All contestants get it, and so does the measure of what they saved.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

LIBRARIES: list[Any] = []
"""The operators in use; torch forgets them with this list."""


def native() -> bool:
    """Whether this CPU multiplies bfloat16 matrices by instructions of its own."""
    flags = Path("/proc/cpuinfo")
    return not flags.is_file() or any(word in flags.read_text(encoding="utf-8") for word in ("avx512bw", "bf16"))


def help_out() -> None:
    """Have torch multiply bfloat16 matrices through float32, where this CPU cannot itself."""
    import torch

    if native() or LIBRARIES:
        return
    library = torch.library.Library("aten", "IMPL")
    for name in ("mm", "bmm", "addmm", "baddbmm"):
        library.impl(name, through_float32(getattr(torch.ops.aten, name).out), "CPU")
    LIBRARIES.append(library)


def through_float32(product: Any) -> Any:
    """A matrix product (its variant `out`), of bfloat16 matrices as of float32 ones. The factors are its last two."""
    import torch

    def multiply(*matrices: Any, **factors: Any) -> Any:
        half = matrices[-1].dtype == torch.bfloat16
        taken = [matrix.float() for matrix in matrices] if half else matrices
        out = taken[-1].new_empty((*taken[-2].shape[:-1], taken[-1].shape[-1]))
        product(*taken, **factors, out=out)
        return out.bfloat16() if half else out

    return multiply
