"""Whole runs of training methods, in each of several processes:

    torchrun tests/whole_runs.py OUTPUT STRATEGY,STRATEGY… TRAJECTORY …

OUTPUT gets, from the first process, the figures of each run by strategy and stored trajectory.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import sys
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


STRATEGIES: dict[str, dict[str, Any]] = {
    "ddp": {},
    "fsdp": {"fsdp": True},
    "sequence": {"sequence_parallel_size": 2},
    "tensor": {"tensor_parallel_size": 2},
    "zero2": {"deepspeed": "zero2"},
    "zero3": {"deepspeed": "zero3"},
}
"""Way to share the steps → the options that ask for it."""


def figures_of(contract: Any, folder: Path, strategy: str, processes: int) -> dict[str, list[float]] | str:
    """What a run logs at each step; a text where the method refuses the strategy."""
    from swift_core.contract.errors import SwiftError

    options = STRATEGIES[strategy]
    shares = 1 if strategy in ("sequence", "tensor") else processes  # all processes see the same rows then
    try:
        trainer = contract.whole_run(folder, contract.batch // shares, shares, **options)
    except SwiftError as error:
        return str(error)
    figures: dict[str, list[float]] = contract.figures_of(trainer)
    return figures


def main(output: str, strategies: list[str], trajectories: list[str]) -> None:
    """Run every method on all processes, shared in each way, and write down what it logged."""
    processes, found = int(os.environ["WORLD_SIZE"]), {}
    contracts = [contract_of(file) for file in trajectories]
    for contract in contracts:
        contract.job(model=contract.model)  # writes its tiny models; once connected, only the first process would
        contract.whole_steps = 2
    for strategy in strategies:
        for number, (file, contract) in enumerate(zip(trajectories, contracts, strict=True)):
            folder = Path(output).parent / f"{strategy}-{number}"
            found[f"{strategy} {file}"] = figures_of(contract, folder, strategy, processes)
    if os.environ["RANK"] == "0":
        Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].split(","), sys.argv[3:])
