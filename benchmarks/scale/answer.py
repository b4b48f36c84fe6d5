"""Answers with a model and many LoRA adapters. `python answer.py FOLDER COUNT`, FOLDER as train/material.py wrote it.

Batches of eight requests, each for another adapter in turn, 16 new tokens each.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

TOGETHER, BATCHES, TOKENS = 8, 6, 16


def write_adapters(folder: Path, count: int) -> list[str]:
    """`name=folder` of `count` random adapters of rank 8 on all linear layers; those that are there stay."""
    import peft
    import torch
    import transformers

    places = [folder / "adapters" / f"a{number}" for number in range(count)]
    missing = [place for place in places if not place.exists()]
    if missing:
        base = transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
        config = peft.LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
        for seed, place in enumerate(missing):
            torch.manual_seed(seed)
            wrapped = peft.get_peft_model(base, config)
            wrapped.save_pretrained(place)
            base = wrapped.unload()
    return [f"{place.name}={place}" for place in places]


def main(folder: Path, count: int) -> None:
    """Tell the CPU seconds of an answer, those of the start, and the peak memory in MiB."""
    from swift_core.contract.engine import Request
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    options = {
        "ckpt_dir": str(folder / "model"), "template": "chatml", "adapters": write_adapters(folder, count),
    }  # fmt: skip
    begun = time.process_time()
    job = prepare("infer", [Given(name, value, "benchmark") for name, value in options.items()])
    engine = job.hook.start_engine(job=job)
    started = time.process_time()
    for batch in range(BATCHES + 1):
        if batch == 1:
            first = time.process_time()
        said = [{"role": "user", "content": "ba be bi bo bu"}]
        names = [f"a{(batch * TOGETHER + n) % count}" for n in range(TOGETHER)]
        engine.generate([Request.of(said, adapter=name, max_new_tokens=TOKENS, temperature=0.0) for name in names])
    answers = BATCHES * TOGETHER
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    seconds = (time.process_time() - first) / answers
    print("\n" + json.dumps({"seconds": seconds, "start": started - begun, "peak": peak}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
