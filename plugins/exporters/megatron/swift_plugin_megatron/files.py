"""The two forms of a checkpoint on disk: safetensors of transformers, and Megatron-Core's `torch_dist`.

The latter is a checkpoint of torch.distributed.checkpoint beside two files, `common.pt` and `metadata.json`: torch
writes and reads it alone, on any machine.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from swift_core import SwiftError

LATEST = "latest_checkpointed_iteration.txt"
"""Names the folder with the weights: `release`, or the number of a step."""

SETTINGS = "megatron.json"
"""The arguments of Megatron-Core's classes for this model (`architectures.settings_of`)."""

STATE = ("optimizer.", "chained_", "rng_state", "rerun_state")
"""How keys begin that training needs and a model does not."""

KEPT = (".json", ".jinja", ".txt", ".model", ".py", ".tiktoken")
"""Files beside the weights that go with them: config, tokenizer, chat template."""

LEFT = ("trainer_state.json", "swift.lock.json", "swift.files.json", "launch.json", SETTINGS, LATEST)
"""Files with such names that say how a folder was made, and not what it holds."""


class Weights:
    """The safetensors of a folder, each weight by its name. files: name of a weight → the open file that holds it."""

    def __init__(self, files: dict[str, Any]):
        self.files = files

    @property
    def names(self) -> dict[str, Any]:
        """The names that there are."""
        return self.files

    def read(self, name: str) -> torch.Tensor:
        """One weight, of the shape that the file says."""
        tensor: torch.Tensor = self.files[name].get_tensor(name)
        return tensor

    def dtype(self) -> str:
        """torch's name for the type of all weights. Raises SwiftError where there are several."""
        found = {str(self.files[name].get_slice(name).get_dtype()) for name in self.files}
        if len(found) != 1 or not found <= set(TYPES):
            raise SwiftError(
                f"Megatron-Core holds a model in one precision, and this checkpoint has {', '.join(sorted(found))}."
            )
        return TYPES[found.pop()]


TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}
"""The types of safetensors → torch's."""


@contextmanager
def opened(folder: Path) -> Iterator[Weights]:
    """The weights of a checkpoint of transformers. Raises SwiftError where there are no safetensors."""
    from safetensors import safe_open

    files = sorted(folder.glob("model*.safetensors"))  # beside them a checkpoint of a training has others
    if not files:
        raise SwiftError(f"{folder} holds no weights as safetensors; save the model with transformers first.")
    with ExitStack() as stack:
        held = [stack.enter_context(safe_open(file, framework="pt")) for file in files]
        yield Weights({name: file for file in held for name in file.keys()})  # noqa: SIM118, no mapping


def write_distributed(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Write a release that Megatron-Core's `dist_checkpointing.load` reads. tensors: key → weight, whole in shape."""
    from torch.distributed.checkpoint import FileSystemWriter, save

    place = folder / "release"
    place.mkdir()
    save(tensors, storage_writer=FileSystemWriter(place), no_dist=True)
    torch.save({"checkpoint_version": 3.0, "iteration": 0}, place / "common.pt")
    told = {"sharded_backend": "torch_dist", "sharded_backend_version": 1}
    told |= {"common_backend": "torch", "common_backend_version": 1}
    (place / "metadata.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / LATEST).write_text("release", encoding="utf-8")


def weights_folder(folder: Path) -> Path:
    """Where the weights of a checkpoint of Megatron-Core lie. Raises SwiftError where it is none."""
    file = folder / LATEST
    if not file.is_file():
        raise SwiftError(f"{folder} is no checkpoint of Megatron-Core with its config.json: {LATEST} is missing.")
    said = file.read_text(encoding="utf-8").strip()
    return folder / (said if said == "release" else f"iter_{int(said):07d}")


def shapes(place: Path) -> dict[str, Any]:
    """Key of each tensor of the model → its size and type, as torch.distributed.checkpoint describes it."""
    from torch.distributed.checkpoint import FileSystemReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    found = FileSystemReader(place).read_metadata().state_dict_metadata
    return {
        key: value
        for key, value in found.items()
        if isinstance(value, TensorStorageMetadata) and not key.startswith(STATE)
    }


def read_distributed(place: Path, keys: dict[str, Any]) -> dict[str, torch.Tensor]:
    """Whole tensors by key. keys: as `shapes` gives them."""
    from torch.distributed.checkpoint import FileSystemReader, load

    tensors = {key: torch.empty(value.size, dtype=value.properties.dtype) for key, value in keys.items()}
    load(tensors, storage_reader=FileSystemReader(place), no_dist=True)
    return tensors


def copy_beside(source: Path, folder: Path) -> None:
    """Copy config, tokenizer and chat template, byte for byte."""
    for file in sorted(source.iterdir()):
        if file.suffix in KEPT and file.name not in LEFT and not file.name.endswith(".index.json"):
            shutil.copyfile(file, folder / file.name)
