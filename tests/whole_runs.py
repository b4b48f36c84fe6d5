"""Whole runs of training methods, in each of several processes:

    torchrun tests/whole_runs.py OUTPUT STRATEGY,STRATEGY… TRAJECTORY …

OUTPUT gets, from the first process, the figures of each run by strategy and stored trajectory. One process alone runs
what a strategy would share.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


def contract_of(trajectory: str) -> Any:
    """The contract that wrote a trajectory, ready: a class of the test file beside it."""
    tests = module_of(next(Path(trajectory).parent.glob("test_*.py")))
    return getattr(tests, json.loads(Path(trajectory).read_text(encoding="utf-8"))["contract"])()


@functools.cache
def module_of(file: Path) -> Any:
    """A test file, imported."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Strategy:
    """A way to share the steps: the options that ask for it, and among how many processes it is tried.

    together: neighbouring processes that see the same rows. family: of the model that is trained, where the one of the
    stored trajectories has nothing to share.
    """

    options: dict[str, Any]
    processes: int = 2
    together: int = 1
    family: str = ""


ZERO = ("zero0", "zero1", "zero2", "zero2_offload", "zero3", "zero3_offload")
TENSOR = {"tensor_parallel_size": 2}

STRATEGIES: dict[str, Strategy] = {
    "ddp": Strategy({}),
    "fsdp": Strategy({"fsdp": True}),
    "hsdp": Strategy({"fsdp": True, "hsdp": 2}, processes=4),
    **{name: Strategy({"deepspeed": name}) for name in ZERO},
    "sequence": Strategy({"sequence_parallel_size": 2}, together=2),
    "tensor": Strategy(TENSOR, together=2),
    "tensor+fsdp": Strategy(TENSOR | {"fsdp": True}, processes=4, together=2),
    "expert": Strategy({"expert_parallel_size": 2}, family="qwen3_moe"),
}
"""In the order in which docs/scaling.md shows them."""

LATE = "Only once the weights were read: "
"""How a refusal begins that could not be told from the options."""


def figures_of(contract: Any, folder: Path, strategy: Strategy, processes: int) -> dict[str, list[float]] | str:
    """What a run logs at each step; a text where the method refuses the strategy."""
    from swift_core.contract.errors import SwiftError

    model = tiny(strategy.family) if strategy.family else {"model": contract.model}
    options = {**model, **(strategy.options if processes > 1 else {})}
    shares = processes // strategy.together if processes > 1 else 1
    run = functools.partial(contract.whole_run, size=contract.batch // shares, processes=shares)
    try:
        trainer = run(folder, **options)
    except SwiftError as error:
        told = refused_without_weights(run, folder, options)
        return told if told == str(error) else f"{LATE}{error}"
    unasked = trainer.is_deepspeed_enabled and "deepspeed" not in options
    assert not unasked, "An earlier run of this process left DeepSpeed behind."
    figures: dict[str, list[float]] = contract.figures_of(trainer)
    return figures


def refused_without_weights(run: Any, folder: Path, options: dict[str, Any]) -> str:
    """What the same run says of a checkpoint without weights."""
    bare = folder / f"bare-{os.environ.get('RANK', 0)}"
    shutil.copytree(options["model"], bare, ignore=shutil.ignore_patterns("*.safetensors"))
    try:
        run(folder, **{**options, "model": str(bare)})
    except Exception as error:  # whatever reads weights that are not there
        return str(error)
    raise AssertionError("A run that was refused ends without weights.")


@functools.cache
def tiny(family: str) -> dict[str, Any]:
    """The options that name a tiny model of a family, written once for this process."""
    from swift_testing.conformance.tiny_family import make_tokenizer, write_checkpoint
    from swift_testing.contracts import catalogue

    card = catalogue().find("model", family).load()
    folder = write_checkpoint(card, tempfile.mkdtemp(dir=Path(sys.argv[1]).parent), make_tokenizer(card))
    return {"model": folder, "model_type": family, "enable_thinking": False}


def main(output: str, strategies: list[str], trajectories: list[str]) -> None:
    """Run every method on all processes, shared in each way, and write down what it logged."""
    processes, found = int(os.environ.get("WORLD_SIZE", 1)), {}
    contracts = [contract_of(file) for file in trajectories]
    for contract in contracts:
        contract.job(model=contract.model)  # writes its tiny models; once connected, only the first process would
        contract.whole_steps = 2
    for family in {STRATEGIES[name].family for name in strategies} - {""}:
        tiny(family)
    for name in strategies:
        for number, (file, contract) in enumerate(zip(trajectories, contracts, strict=True)):
            folder = Path(output).parent / f"{name}-{number}"
            found[f"{name} {file}"] = figures_of(contract, folder, STRATEGIES[name], processes)
    if os.environ.get("RANK", "0") == "0":
        Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].split(","), sys.argv[3:])
