"""What the generic loader knows of checkpoints: their class, their device, and what is refused in them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_core.jobs.announce import PATIENCE
from swift_plugin_runtime.loading import heads

if TYPE_CHECKING:
    import torch

AUTO_CLASSES = {
    "embedding": "AutoModel",
    "prm": "AutoModelForTokenClassification",
}
"""A card's task → the auto class that loads it, where the architecture itself is not in transformers."""


def model_class(config: Any, task: str = "causal_lm") -> Any:
    """The class that loads a checkpoint: the architecture by name, else the auto class of its task."""
    import transformers

    scores = "AutoModelForSequenceClassification"
    for name in getattr(config, "architectures", None) or ():
        if task == "causal_lm" and hasattr(transformers, name):
            return getattr(transformers, name)
        if name.endswith("ForSequenceClassification"):
            task = "seq_cls"
    wanted = scores if task in heads.SCORING else AUTO_CLASSES.get(task, "AutoModelForCausalLM")
    if _is_remote(config) and wanted not in config.auto_map:
        return transformers.AutoModel  # the one that remote code always offers
    if task in heads.SCORING:
        return getattr(transformers, scores) if _is_remote(config) else heads.scoring_class(config)
    if task in AUTO_CLASSES:
        return getattr(transformers, AUTO_CLASSES[task])
    multimodal = type(config) in transformers.AutoModelForImageTextToText._model_mapping
    return transformers.AutoModelForImageTextToText if multimodal else transformers.AutoModelForCausalLM


def device_of(name: str) -> torch.device:
    """`auto` as the GPU this process owns, else mps, else the CPU; any other name as torch knows it."""
    import torch

    if name != "auto":
        return torch.device(name)
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def dtype_of(name: str) -> Any:
    import torch

    return "auto" if name == "auto" else getattr(torch, name)


@contextlib.contextmanager
def late_bars() -> Iterator[None]:
    """Within the block, transformers' bars appear only after `PATIENCE` seconds: most loads are over before."""
    from transformers.utils import logging

    before = logging.set_tqdm_hook(lambda bar, given, named: bar(*given, **{"delay": PATIENCE, **named}))
    try:
        yield
    finally:
        logging.set_tqdm_hook(before)


def _is_remote(config: Any) -> bool:
    """Whether the configuration's class came with the checkpoint."""
    return type(config).__module__.startswith("transformers_modules") and bool(getattr(config, "auto_map", None))


def refuse_remote_code(job: Job, folder: str) -> None:
    """Raises SwiftError where code of the checkpoint would run and the user has not said so.

    A family that transformers has never needs it.
    """
    files = sorted(p.name for p in Path(folder).glob("*.py"))
    config = Path(folder, "config.json")
    needs = config.is_file() and '"auto_map"' in config.read_text(encoding="utf-8")
    if not (files and needs and job.card.remote_code):
        return
    if not job.options.trust_remote_code:
        raise SwiftError(
            f"{said_of(job.card)} Loading {folder} would run {', '.join(files)}. Read those files, then say "
            "--trust_remote_code true if you trust them."
        )
    pins = [line for line in job.card.requires if line.startswith("transformers")]
    if pins:
        import transformers

        job.say(f"The code of this checkpoint was written for {pins[0]}; here is {transformers.__version__}.")


def said_of(card: Any) -> str:
    """Why a family needs code of its checkpoint, and which class does without."""
    other = f" Checkpoints converted to transformers' {card.native} do without." if card.native else ""
    return f"The family {card.name} brings code of its own: {card.remote_code}.{other}"


def refuse_pickle(folder: str, allowed: bool) -> None:
    """Raises SwiftError where the weights are pickles alone and the user has not allowed them."""
    safe = list(Path(folder).glob("*.safetensors"))
    pickles = sorted(p.name for p in Path(folder).glob("*.bin"))
    if pickles and not safe and not allowed:
        raise SwiftError(
            f"{folder} holds its weights as pickles ({', '.join(pickles[:3])}), which can run code when read. "
            "Convert them to safetensors, or say --allow_pickle true if you trust them."
        )


def keep_trainable_layout(model: Any) -> None:
    """Keep 4-bit layers of bitsandbytes on the CPU in the layout that has a backward pass.

    On CPUs with AVX512-BF16 the first forward without gradients repacks 4-bit weights for inference; from then
    on gradients through them, and merges into them, are wrong without any error. A checkpoint that is quantized
    already brings such layers without any quantizer in the job, so the loader sees to it.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
