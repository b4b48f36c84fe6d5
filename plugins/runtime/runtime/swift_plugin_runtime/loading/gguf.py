"""A GGUF file as a checkpoint folder: its weights dequantized once, and kept in the cache."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from swift_core import SwiftError
from swift_core.catalogue.metadata_cache import cache_folder
from swift_core.contract.job import Job
from swift_core.job.gguf_header import gguf_facts
from swift_plugin_runtime.loading.text_rules import cut_as


def unpacked(job: Job, file: Path) -> str:
    """The folder with config, tokenizer and weights of `file` in safetensors, float32 where --torch_dtype is auto.

    Made on first use. SwiftError where the package gguf is missing or transformers cannot read the architecture.
    """
    dtype = "float32" if job.options.torch_dtype == "auto" else job.options.torch_dtype
    stat = file.stat()
    mark = hashlib.sha256(f"{file.resolve()} {stat.st_size} {stat.st_mtime_ns} {dtype}".encode()).hexdigest()[:16]
    folder = Path(cache_folder(), "gguf") / mark / file.stem
    if not folder.is_dir():
        job.say(f"Unpacking {file} into {folder} ({dtype}, once) …")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as place:
            _write(file, dtype, Path(place, "model"))
            if not folder.is_dir():  # another process may have been faster
                os.replace(Path(place, "model"), folder)
    return str(folder)


def read_tokenizer(file: Path) -> Any:
    """The tokenizer of a GGUF file, which cuts text by the rule that the file names.

    transformers reads tokens and merges, and takes one rule for all files. Raises as it does.
    """
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    facts = gguf_facts(file)
    if facts.get("tokenizer.ggml.model") == "gpt2":
        cut_as(tokenizer, str(facts.get("tokenizer.ggml.pre", "")))
    return tokenizer


def _write(file: Path, dtype: str, folder: Path) -> None:
    import torch
    import transformers

    try:
        tokenizer = read_tokenizer(file)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            file.parent, gguf_file=file.name, dtype=getattr(torch, dtype)
        )
    except (ImportError, ValueError, OSError, KeyError, NotImplementedError) as error:
        advice = "pip install gguf" if isinstance(error, ImportError) else "Take the checkpoint that it was made from."
        raise SwiftError(f"{file} cannot be read: {error}. {advice}") from None
    facts = {k: v for k, v in model.config.to_dict().items() if k != "quantization_config"}
    config = type(model.config).from_dict(facts)  # without the mark of a quantized model, which cannot be trained
    plain = type(model)(config).to(getattr(torch, dtype))
    plain.load_state_dict(model.state_dict())
    plain.generation_config.eos_token_id = tokenizer.eos_token_id
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
