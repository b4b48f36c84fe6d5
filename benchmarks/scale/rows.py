"""What it costs to read, encode and pack 1,000 to 1,000,000 rows: as a stream, and kept for training."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.measure import HERE, run
from benchmarks.scale.fit import Curve, measured

SIZES = [1000, 10_000, 100_000, 1_000_000]
STORED_TO = 100_000
"""Beyond that the rows themselves, which stay in memory while they are kept, ask for gigabytes."""

ONCE = 5000
"""Rows that differ; larger sets read them again."""


def curves(largest: int) -> list[Curve]:
    """CPU seconds and peak memory of both ways."""
    found = []
    with tempfile.TemporaryDirectory() as place:
        run([sys.executable, str(HERE / "train" / "material.py"), place, str(ONCE)])
        for way, memory in (("streamed", "0: constant"), ("stored", "0 to 1: libraries, then the rows and their ids")):
            seconds = Curve(f"{way}: encode and pack", "rows", "CPU s", "1")
            peaks = Curve(f"{way}: peak memory", "rows", "MiB", memory)
            most = min(largest, STORED_TO if way == "stored" else largest)
            for size in (s for s in SIZES if s <= most):
                used = _fed(Path(place), size, way)
                measured(seconds, [size], lambda _, u=used: u["seconds"])
                measured(peaks, [size], lambda _, u=used: u["peak"])
                print(f"{way}: {size} rows: packs are {used['filled']:.1%} full", flush=True)
            found += [seconds, peaks]
    return found


def _fed(folder: Path, size: int, way: str) -> dict[str, float]:
    command = [sys.executable, str(HERE / "scale" / "feed.py"), str(folder), str(size), way]
    return run(command, OMP_NUM_THREADS="1", RAYON_NUM_THREADS="1", TOKENIZERS_PARALLELISM="false").report
