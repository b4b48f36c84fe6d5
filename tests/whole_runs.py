"""Whole runs of training methods, in each of several processes: `torchrun tests/whole_runs.py OUTPUT TRAJECTORY …`.

OUTPUT gets, from the first process, the figures of each run by the name of its stored trajectory.
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


def main(output: str, trajectories: list[str]) -> None:
    """Run every method on all processes and write down what it logged."""
    processes, found = int(os.environ["WORLD_SIZE"]), {}
    contracts = [contract_of(file) for file in trajectories]
    for contract in contracts:
        contract.job(model=contract.model)  # writes its tiny models; once connected, only the first process would
    for number, (file, contract) in enumerate(zip(trajectories, contracts, strict=True)):
        contract.whole_steps = 2
        trainer = contract.whole_run(Path(output).parent / str(number), contract.batch // processes, processes)
        found[file] = contract.figures_of(trainer)
    if os.environ["RANK"] == "0":
        Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
