"""Runs whose checkpoints are written in shards, as the processes of a test call them."""

from __future__ import annotations

import json
import os
import shutil
import zlib
from pathlib import Path
from typing import Any, ClassVar

from swift_core import hookimpl
from swift_core.contract.components import Tuner


def write(folder: Path, **shape: Any) -> None:
    """A tiny model and four rows of uneven length in `folder`."""
    from swift_testing.tiny import tiny_qwen2

    tiny_qwen2(folder / "base", tie_word_embeddings=True, **shape)
    words = "one two three four five six seven eight".split()
    rows = [{"query": f"Count to {n}.", "response": " ".join(words[:n])} for n in (1, 8, 2, 7, 3, 6, 4, 5)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def losses(folder: str, name: str, size: int, **more: Any) -> list[float]:
    """The losses that a run of four steps logs, each of `size` rows a process; a checkpoint every two."""
    return [line["loss"] for line in trained(folder, name, size, **more).state.log_history if "loss" in line]


def learnt(folder: str, name: str, size: int, **more: Any) -> tuple[list[float], list[str]]:
    """(the losses of such a run; names of the weights that this process gathers to save what trained)."""
    trainer = trained(folder, name, size, **more)
    with trainer._whole_model(trainer.model):
        gathered = list(trainer.model.state_dict())
    return [line["loss"] for line in trainer.state.log_history if "loss" in line], gathered


def marks(folder: str, name: str, size: int, **more: Any) -> dict[str, int]:
    """Check sums of the weights with which such a run ends in this process, and of their masters."""
    trainer = trained(folder, name, size, **more)
    masters = {f"master of {trainer.masters.names[p]}": value for p, value in trainer.masters.values.items()}
    return {name: _mark(value) for name, value in {**dict(trainer.model.named_parameters()), **masters}.items()}


def _mark(value: Any) -> int:
    import torch

    return zlib.crc32(value.detach().contiguous().view(torch.uint8).numpy().tobytes())


def trained(folder: str, name: str, size: int, **more: Any) -> Any:
    """The trainer of such a run."""
    from swift_core.api import run

    plain = {
        "model": f"{folder}/base", "dataset": f"{folder}/rows.jsonl", "tuner": "full", "device": "cpu",
        "output_dir": f"{folder}/{name}", "torch_dtype": "float32", "learning_rate": 1e-3, "warmup_ratio": 0,
        "lr_scheduler_type": "constant", "max_steps": 4, "save_steps": 2, "logging_steps": 1,
        "per_device_train_batch_size": size,
    }  # fmt: skip
    return run("sft", **{**plain, **more})["trainer"]


def stopped(folder: Path, name: str, step: int, other: str) -> None:
    """A copy of a run as it was when `step` was saved, and no later checkpoint."""
    (folder / other).mkdir()
    shutil.copytree(folder / name / f"checkpoint-{step}", folder / other / f"checkpoint-{step}")


def read(folder: str, **more: Any) -> tuple[int, int]:
    """(bytes of the weights that this process holds once a model is read, bytes of what it holds packed)."""
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import load_model

    given = {"model": f"{folder}/base", "tuner": "lora", "device": "cpu", "torch_dtype": "float32", **more}
    model = load_model(prepare("sft", [Given(key, value, "test") for key, value in given.items()]))[0]
    held = {name: getattr(p, "_local_tensor", p) for name, p in model.named_parameters()}
    packed = [value for name, value in held.items() if value.shape[-1] == 1]
    return tuple(sum(value.nbytes for value in values) for values in (held.values(), packed))


class Silent(Tuner):
    """A tuner that trains norms, and leaves what it trained to the whole model."""

    swift_api = 1

    @hookimpl
    def attach_tuner(self, model: Any) -> Any:
        """Norms alone train."""
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("norm" in name)
        return model

    @hookimpl
    def save_tuner(self, folder: str) -> None:
        """Nothing of its own."""


class Declared(Silent):
    """The same, and says so."""

    trains_whole_weights: ClassVar[bool] = True


def saved(folder: str, tuner: str, **more: Any) -> tuple[str, bool]:
    """(why what a tuner of this file trained is not saved, or nothing; whether the model is whole in the folder)."""
    from safetensors.torch import load_file
    from swift_plugin_runtime.training.trainer import save_trained
    from swift_testing.contracts import CHAT
    from swift_testing.contracts_trainers import build_trainer

    from swift_core.catalogue.entries import Catalogue, Entry
    from swift_core.contract.errors import SwiftError

    entry = Entry("tuner", tuner.lower(), "pytest", "0", "", f"{__name__}:{tuner}")
    offered = Catalogue([*Catalogue.installed().entries, entry])
    here = Path(folder, f"{tuner}-{os.environ.get('RANK', 0)}")
    trainer = build_trainer(f"{folder}/base", CHAT, here, offered, trainer="sft", tuner=tuner.lower(), **more)
    with trainer._whole_model(trainer.model):
        try:
            if trainer.args.should_save:
                save_trained(trainer.job, trainer.model, trainer.processing_class, str(here))
        except SwiftError as error:
            return str(error), False
    written = {name for file in here.glob("*.safetensors") for name in load_file(file)}
    return "", written >= {name for name, _ in trainer.model.named_parameters()}
