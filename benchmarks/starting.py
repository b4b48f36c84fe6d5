"""What a job costs until it begins. `python -m benchmarks.starting WHAT FOLDER`, FOLDER with `model` and `rows.jsonl`.

Prints the CPU seconds of this process, Python's own start among them, until the model is loaded (bare), Trainer and
PEFT are imported as well (trained), the first step begins (sft), one token is answered (infer), or a server is ready
(deploy).
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path


def bare(folder: Path) -> float:
    """What any program pays that loads this model with transformers."""
    import torch  # noqa: F401
    import transformers

    transformers.AutoTokenizer.from_pretrained(folder / "model")
    transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    return time.process_time()


def trained(folder: Path) -> float:
    """What any program pays that trains it with PEFT and transformers' Trainer."""
    import peft  # noqa: F401
    from transformers import Trainer  # noqa: F401

    return bare(folder)


def sft(folder: Path) -> float:
    """`swift sft` with LoRA begins its first step."""
    import swift_plugin_runtime.training.trainer  # noqa: F401  as the job does
    import transformers.trainer

    from swift_core.cli import _run

    times: list[float] = []

    class Begun(transformers.TrainerCallback):
        def on_step_begin(self, *_: object, **__: object) -> None:
            times.append(time.process_time())

    transformers.trainer.DEFAULT_CALLBACKS.append(Begun)
    out = tempfile.mkdtemp(dir=folder)
    said = ["--dataset", str(folder / "rows.jsonl"), "--output_dir", out, "--max_steps", "1"]
    _run(["sft", *words(folder), *said])
    return times[0]


def infer(folder: Path) -> float:
    """`swift infer` answers one row with one token."""
    from swift_core.cli import _run

    out = Path(tempfile.mkdtemp(dir=folder), "answers.jsonl")
    said = ["--dataset", f"{folder / 'rows.jsonl'}#1", "--max_new_tokens", "1", "--result_path", str(out)]
    _run(["infer", *words(folder), *said])
    return time.process_time()


def deploy(folder: Path) -> float:
    """`swift deploy` answers that it is well."""
    from benchmarks.smoke.subjects import deployed

    times: list[float] = []
    deployed(folder, lambda url: times.append(time.process_time()))
    return times[0]


def words(folder: Path) -> list[str]:
    """The options that all jobs here share."""
    return ["--model", str(folder / "model"), "--template", "chatml"]


WHAT: dict[str, Callable[[Path], float]] = {
    "bare": bare,
    "trained": trained,
    "sft": sft,
    "infer": infer,
    "deploy": deploy,
}

if __name__ == "__main__":
    print("\n" + json.dumps({"seconds": WHAT[sys.argv[1]](Path(sys.argv[2]))}))
