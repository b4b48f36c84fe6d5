"""Reads, encodes and packs rows as `swift sft` does, and trains nothing. `python feed.py FOLDER COUNT streamed|stored`.

FOLDER: what train/material.py wrote; its rows are read again and again until COUNT are reached.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


def main(folder: Path, count: int, way: str) -> None:
    """Go through all packs once, and tell the CPU seconds and the peak memory in MiB."""
    from swift_plugin_runtime.training.feeding import training_rows

    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.train import load_data

    options = {
        "model": str(folder / "model"), "dataset": [f"{folder / 'rows.jsonl'}#{count}"], "template": "chatml",
        "packing": True, "max_length": 4096, "cache_dataset": False,
        **({"streaming": True, "max_steps": 1} if way == "streamed" else {}),
    }  # fmt: skip
    job = prepare("sft", [Given(name, value, "benchmark") for name, value in options.items()])
    processor = job.hook.load_processor(job=job, path=str(folder / "model"))
    begun = time.process_time()
    rows, _ = load_data(job)
    packs = lengths = 0
    data = training_rows(job, rows, processor)
    for pack in data if way == "streamed" else (data[n] for n in range(len(data))):
        packs += 1
        lengths += sum(len(row["input_ids"]) for row in pack)
    seconds = time.process_time() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print("\n" + json.dumps({"seconds": seconds, "peak": peak, "filled": lengths / (packs * 4096)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
