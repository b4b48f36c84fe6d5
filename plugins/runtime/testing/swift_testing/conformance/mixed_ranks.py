"""Steps in which one process has a picture, video or sound and the other has none: beside the levels, `--ranks`.

Two processes must end with the losses and the weights of one, however they share the steps.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from swift_core.catalogue.conformance import recorded
from swift_core.catalogue.entries import Entry
from swift_core.contract.cards import Family
from swift_testing.conformance.attempt import attempt
from swift_testing.conformance.media import COLUMNS
from swift_testing.conformance.tiny_family import architecture, write_checkpoint
from swift_testing.processes import Processes

WAYS: dict[str, dict[str, Any]] = {"ddp": {}, "fsdp": {"fsdp": True}, "zero3": {"deepspeed": "zero3"}}
"""How the two processes share the steps → the options that ask for it; ZeRO 3 where DeepSpeed is installed."""

LOSSES, WEIGHTS = 1e-4, 1e-5
"""How far losses (relative) and weights (absolute) of two processes may be from those of one."""


# -- families ---------------------------------------------------------------------------------------------
def one_of_each_class(entries: Iterable[Entry]) -> list[Entry]:
    """Of the families with media, one for each class of transformers that runs them: the one that reads most."""
    classes: dict[str, tuple[int, Entry]] = {}
    for entry in entries:
        card: Family = entry.load()
        name, count = architecture(card), len(set(card.modality) - {"text"})
        if name and card.task == "causal_lm" and count > classes.get(name, (0, entry))[0]:
            classes[name] = count, entry
    return [entry for _, entry in classes.values()]


class Two:
    """Two processes that stay; new ones where a call that failed has ended them."""

    def __init__(self) -> None:
        self.processes: Processes | None = None

    def call(self, *call: Any, **named: Any) -> list[Any]:
        """As `Processes.call`."""
        if self.processes is None or any(process.poll() is not None for process in self.processes.running):
            self.processes = Processes(2)
        return self.processes.call(*call, **named)

    def close(self) -> None:
        """End the processes."""
        if self.processes is not None:
            self.processes.close()


def check_family(entry: Entry, two: Two) -> dict[str, dict[str, str]]:
    """Modality → way → `passed`, or why not. A modality that one process cannot learn has that reason alone."""
    ways = {n: w for n, w in WAYS.items() if n != "zero3" or importlib.util.find_spec("deepspeed")}
    outcomes = {}
    for modality in (m for m in entry.load().modality if m != "text"):
        with tempfile.TemporaryDirectory(prefix="swift-ranks-") as folder:
            outcomes[modality] = _check(entry.name, modality, folder, two, ways)
    return outcomes


def _check(family: str, modality: str, folder: str, two: Two, ways: dict[str, dict[str, Any]]) -> dict[str, str]:
    alone: dict[str, Any] = {}

    def learn() -> None:
        write(family, [modality], Path(folder))
        alone.update(moved(family, folder, "alone", 2))

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        reason = attempt(learn)
    if reason:
        return {"one process": reason}
    return {name: _shared(family, folder, name, two, options, alone) for name, options in ways.items()}


def _shared(family: str, folder: str, way: str, two: Two, options: dict[str, Any], alone: dict[str, Any]) -> str:
    try:
        found = two.call(moved, family, folder, way, 1, **options)
    except AssertionError as error:  # with the traceback of the process that failed, and what it printed
        return str(error).partition("\nOutput of process")[0].strip().splitlines()[-1]
    return next(filter(None, (apart(one, alone) for one in found)), "passed")


def apart(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Where two outcomes of `moved` differ; empty where they are the same but for rounding."""
    for ours, theirs in zip(found["losses"], expected["losses"], strict=True):
        if not abs(ours - theirs) <= LOSSES * abs(theirs) + 1e-5:
            return f"the losses are {found['losses']}, not {expected['losses']}"
    if found["weights"].keys() != expected["weights"].keys():
        return f"other weights are saved: {sorted(found['weights'].keys() ^ expected['weights'].keys())[:3]}"
    for key, value in expected["weights"].items():
        if found["weights"][key].shape != value.shape:
            return f"{key} is saved as {[*found['weights'][key].shape]}, not {[*value.shape]}"
        far = _far(found["weights"][key], value)
        if not far < WEIGHTS:
            return f"{key} ends {far:.2g} apart"
    return ""


def _far(one: Any, other: Any) -> float:
    """The largest difference of two tensors; infinity is no further from infinity than any number from itself."""
    return float((one.float() - other.float()).masked_fill(one == other, 0).abs().max())


def kept(name: str) -> dict[str, Any]:
    """What was recorded of a family's steps, for a result of its levels that is to be recorded beside it."""
    found = recorded().get(name, {}).get("ranks")
    return {"ranks": found} if found else {}


# -- steps ------------------------------------------------------------------------------------------------
def write(family: str, media: list[str], folder: Path) -> None:
    """A tiny checkpoint, media and rows in `folder`: a medium and text, then the other way round.

    Of two media: one and the other, then text and the first.
    """
    from swift_testing.conformance.processors import make_processor
    from swift_testing.contracts import catalogue
    from swift_testing.libraries import let_torchvision_import

    let_torchvision_import()
    card = catalogue().find("model", family).load()
    processor, changes = make_processor(card)
    write_checkpoint(card, folder / "model", processor, **changes)
    shown = functools.partial(_shown, folder)
    text = [_row("What is 1 + 2?", "The answer is 3."), _row("And 2 + 2?", "It is 4.")]
    first, second = media[0], media[-1]
    rows = [shown(first, 0), *text, shown(first, 1)]
    if first != second:
        rows = [shown(first, 0), shown(second, 1), text[0], shown(first, 2)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _shown(folder: Path, modality: str, number: int) -> dict[str, Any]:
    medium = {COLUMNS[modality]: [_medium(modality, folder, number)]}
    return _row(f"<{modality}>What is it?", "A dog.", **medium)


def _medium(modality: str, folder: Path, number: int) -> Any:
    """A picture's file, the files of four frames, or the samples of a tenth of a second."""
    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(number)
    if modality == "audio":
        return [round(float(value), 4) for value in chance.standard_normal(1600) / 10]
    files = [f"{number}-{frame}.png" for frame in range(4 if modality == "video" else 1)]
    for file in files:
        Image.fromarray(chance.integers(0, 256, (112, 112, 3), dtype="uint8")).save(folder / file)
    return files if modality == "video" else files[0]


def _row(question: str, answer: str, **media: list[Any]) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}], **media}


def moved(family: str, folder: str, name: str, size: int, **more: Any) -> dict[str, Any]:
    """The losses of two steps of plain gradient descent, towers included, and the weights that they end with.

    size: rows of a batch in each process.
    """
    from safetensors.torch import load_file

    from swift_core.api import run
    from swift_testing.libraries import let_torchvision_import

    let_torchvision_import()

    plain = {
        "model": f"{folder}/model", "model_type": family, "dataset": f"{folder}/rows.jsonl", "tuner": "full",
        "output_dir": f"{folder}/{name}", "device": "cpu", "torch_dtype": "float32", "learning_rate": 0.1,
        "lr_scheduler_type": "constant", "warmup_ratio": 0, "weight_decay": 0, "max_steps": 2, "logging_steps": 1,
        "save_steps": 2, "training_args": {"optim": "sgd"}, "dataset_shuffle": False, "freeze_vit": False,
        "freeze_aligner": False, "per_device_train_batch_size": size, "enable_thinking": False,
    }  # fmt: skip
    done = run("sft", **{**plain, **more})
    losses = [line["loss"] for line in done["trainer"].state.log_history if "loss" in line]
    files = sorted(Path(done["checkpoint"]).glob("*.safetensors"))
    return {"losses": losses, "weights": {k: v for file in files for k, v in load_file(file).items()}}
