"""Reading an adapter in PEFT's form, or in that of ms-swift's own tuners."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import peft
import torch
from safetensors.torch import load_file

from swift_core import SwiftError
from swift_core.job.options import fields_of

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

OF_TRAINING = (
    "swift_type", "model_key_mapping", "lora_dtype", "lorap_lr_ratio", "lorap_emb_lr", "lr_ratio", "enable_lora",
)  # fmt: skip
"""Fields of ms-swift's format that say how an adapter was found or trained, and change no answer."""

FURTHER = "extra_states"
"""Folder of weights that ms-swift trained whole, beside the adapters of a checkpoint."""

NAMED = re.compile(r"\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B|lora_magnitude_vector)\.([^.]+)(\.weight)?$")
"""The end of a weight's name in ms-swift's format: its part, the adapter's name, and where it is a layer's, weight."""

PREFIX = "base_model.model."
"""What PEFT puts before the name of a module."""


def read(title: str, folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """(the adapter's `peft.PeftConfig`, its weights under PEFT's names, each of the shape that PEFT gives it).

    title: the tuner's, for errors. Raises SwiftError where the folder holds nothing that PEFT has a form for.
    """
    if not (folder / CONFIG).is_file():
        raise SwiftError(
            f"{title} has no form in PEFT: what it saves in {folder} is none of PEFT's. Where it is linear, merge "
            "it: --merge_lora true; else answer with it here."
        )
    said = _settings(folder)
    if "swift_type" in said:
        return _of_ms_swift(said, folder)
    kind = said.get("peft_type")
    if kind not in peft.PEFT_TYPE_TO_CONFIG_MAPPING:
        raise SwiftError(f"{folder / CONFIG}: PEFT {peft.__version__} knows no adapter of the type {kind!r}.")
    return peft.PeftConfig.from_pretrained(str(folder)), _weights(folder)


def _settings(folder: Path) -> dict[str, Any]:
    said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    if not isinstance(said, dict):
        raise SwiftError(f"{folder / CONFIG} holds no JSON object.")
    return said


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    file = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    if file is None:
        raise SwiftError(f"{folder} holds no weights: neither {' nor '.join(WEIGHTS)}.")
    if file.suffix == ".safetensors":
        return load_file(file)
    return dict(torch.load(file, map_location="cpu", weights_only=True))


def _of_ms_swift(said: dict[str, Any], folder: Path) -> tuple[Any, dict[str, torch.Tensor]]:
    """The same of an adapter in ms-swift's format. Raises SwiftError for all but LoRA as PEFT has it."""
    if (folder.parent / FURTHER).exists():
        raise SwiftError(f"{folder.parent} has weights beside its adapters ({FURTHER}), which no PEFT adapter holds.")
    kind = str(said["swift_type"])
    known = fields_of(peft.LoraConfig)
    strange = [name for name, value in said.items() if value and name not in known and name not in OF_TRAINING]
    if kind != "LORA" or strange:
        what = f"with {', '.join(strange)}" if kind == "LORA" else f"of the type {kind}"
        raise SwiftError(f"{folder} is an adapter of ms-swift's own {what}, for which PEFT has no form.")
    config = peft.LoraConfig(**{name: value for name, value in said.items() if name in known and name != "peft_type"})
    return config, {_name(key): value for key, value in _weights(folder).items()}


def _name(key: str) -> str:
    """A weight's name in ms-swift's format as PEFT has it in a file: the adapter's own name left out."""
    key = NAMED.sub(lambda found: _ended(found[1], found[3]), key)
    return key if key.startswith(PREFIX) else PREFIX + key


def _ended(part: str, weight: str | None) -> str:
    return f".{part}{weight}" if weight and part in ("lora_A", "lora_B") else f".{part}"
