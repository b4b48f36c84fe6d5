"""What 1 to 64 LoRA adapters on one served model cost: the start, an answer, memory."""

from __future__ import annotations

import sys
import tempfile

from benchmarks.measure import HERE, run
from benchmarks.scale.fit import Curve, measured

SIZES = [1, 2, 4, 8, 16, 32, 64]


def curves(largest: int) -> list[Curve]:
    """CPU seconds of the start and of an answer, and the peak memory."""
    found = {
        "start": Curve(
            "adapters: start",
            "adapters",
            "CPU s",
            "0, then 1: the model, then as much again for each adapter",
        ),
        "seconds": Curve(
            "adapters: an answer", "adapters", "CPU s", "0 from 8 on: a batch of eight meets at most eight"
        ),
        "peak": Curve(
            "adapters: peak memory", "adapters", "MiB", "0 to 1: libraries and model, then a line of adapters"
        ),
    }
    with tempfile.TemporaryDirectory() as place:
        run([sys.executable, str(HERE / "train" / "material.py"), place, "8"])
        command = [sys.executable, str(HERE / "scale" / "answer.py"), place]
        sizes = [size for size in SIZES if size <= largest]
        run([*command, str(sizes[-1])], OMP_NUM_THREADS="1")  # writes the adapters
        for size in sizes:
            used = run([*command, str(size)], OMP_NUM_THREADS="1").report
            for name, curve in found.items():
                measured(curve, [size], lambda _, u=used, n=name: u[n])
    return list(found.values())
