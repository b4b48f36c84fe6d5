"""Several processes learn what one learns, method by method and however they share the steps, or the job is refused.

The stored trajectories of the plugins hold them to it; docs/scaling.md shows the same as a table.
"""

import datetime
import json
import os
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import pytest
from swift_testing import warm
from swift_testing.contracts_trainers import near

from swift_core.catalogue.entries import Catalogue

sys.path.insert(0, str(Path(__file__).parent))

import whole_runs

ROOT = Path(__file__).parent.parent
FILES = [str(file) for file in sorted(ROOT.glob("plugins/trainers/*/tests/trajectory*.json"))]
STORED = {file: json.loads(Path(file).read_text()) for file in FILES}

WRITES = bool(os.environ.get("SWIFT_WRITE_STRATEGIES"))
QUICK = ("ddp", "fsdp", "sequence")
"""What `make test` runs. `make test-parallel` asks for those of four processes, tensor and expert instead, `make
test-deepspeed` for DeepSpeed's, which builds an operator first."""

ASKED = tuple(os.environ.get("SWIFT_TEST_STRATEGIES", "").split())
STRATEGIES = tuple(whole_runs.STRATEGIES) if WRITES else ASKED or QUICK
RECORDED = ROOT / "tests" / "strategies.json"
"""Strategy → method → `equal`, or why it is refused, and when that ran, as docs/scaling.md shows it; written by `make
strategies`."""

LIBRARIES = ("torch", "transformers", "accelerate", "deepspeed")


def ran(folder, processes, strategies):
    """Strategy and trajectory → what so many processes log; torch is imported once for all methods."""
    output = folder / f"figures-{processes}" / "figures.json"
    output.parent.mkdir()
    command = [warm.python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)]
    command += [str(ROOT / "tests" / "whole_runs.py"), str(output), ",".join(strategies), *FILES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": warm.python()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(output.read_text())


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Strategy and trajectory → figures of several processes."""
    folder, found = tmp_path_factory.mktemp("several"), {}
    for processes in (2, 4):
        names = [name for name in STRATEGIES if whole_runs.STRATEGIES[name].processes == processes]
        found |= ran(folder, processes, names) if names else {}
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Strategy and trajectory → figures of one process, where the model is not that of the stored trajectories."""
    names = [name for name in STRATEGIES if whole_runs.STRATEGIES[name].family]
    found = ran(tmp_path_factory.mktemp("alone"), 1, names) if names else {}
    stored = {f"{name} {file}": STORED[file]["figures"] for name in STRATEGIES for file in FILES}
    return stored | found


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{Path(file).parents[1].name}-{Path(file).stem}")
def test_several_processes_follow_the_trajectory_of_one(file, strategy, figures, alone):
    found, expected = figures[f"{strategy} {file}"], alone[f"{strategy} {file}"]
    if isinstance(found, str):
        assert not found.startswith(whole_runs.LATE), found
        assert WRITES or found == recorded()[strategy][STORED[file]["trainer"]]
        return
    assert all(found.values()), "Nothing was logged."
    assert found == near({name: expected[name][: len(values)] for name, values in found.items()})


def recorded():
    return json.loads(RECORDED.read_text(encoding="utf-8"))["outcomes"]


def stamp():
    """When and with what the strategies ran, and in how many processes each."""
    versions = {name: version(name) for name in LIBRARIES if find_spec(name)}
    processes = {name: whole_runs.STRATEGIES[name].processes for name in STRATEGIES}
    return {"date": datetime.date.today().isoformat(), "versions": versions, "processes": processes}


def test_the_table_of_methods_and_strategies_is_what_ran(figures):
    outcomes = {strategy: {} for strategy in STRATEGIES}
    for strategy in STRATEGIES:
        for file in FILES:
            found = figures[f"{strategy} {file}"]
            outcomes[strategy][STORED[file]["trainer"]] = found if isinstance(found, str) else "equal"
    if WRITES:
        told = json.dumps({**stamp(), "outcomes": outcomes}, indent=1)
        RECORDED.write_text(told + "\n", encoding="utf-8")
    assert outcomes == {strategy: recorded()[strategy] for strategy in STRATEGIES}


def test_every_method_has_a_trajectory():
    installed = {entry.name for entry in Catalogue.installed().of_kind("trainer")}
    # those of Megatron-Core are the same methods on another engine, which wants a GPU: its own tests hold them to ours
    ours = {name for name in installed if not name.startswith("megatron_")}
    assert {stored["trainer"] for stored in STORED.values()} == ours
