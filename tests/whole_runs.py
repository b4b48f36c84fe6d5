"""Whole runs of training methods, in each of several processes: `torchrun tests/whole_runs.py OUTPUT TEST_FILE …`.

OUTPUT gets, from the first process, the losses of each method by the name of its test file's folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

from swift_core.testing.contracts_trainers import losses_of


def contract_in(file: str) -> Any:
    """The class `TestContract` of a plugin's test file, ready."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.TestContract()


def main(output: str, files: list[str]) -> None:
    """Run every method on all processes and write down what it lost."""
    processes, found = int(os.environ["WORLD_SIZE"]), {}
    for file in files:
        contract = contract_in(file)
        contract.whole_steps = 2
        trainer = contract.whole_run(Path(output).parent / contract.name, contract.batch // processes, processes)
        found[file] = losses_of(trainer)
    if os.environ["RANK"] == "0":
        Path(output).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
