"""Two processes learn what one learns, method by method and however they share the steps, or the job is refused.

The stored trajectories of the plugins hold them to it; docs/scaling.md shows the same as a table.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from swift_testing import warm
from swift_testing.contracts_trainers import near

from swift_core.catalogue.entries import Catalogue

ROOT = Path(__file__).parent.parent
FILES = [str(file) for file in sorted(ROOT.glob("plugins/trainers/*/tests/trajectory*.json"))]
STORED = {file: json.loads(Path(file).read_text()) for file in FILES}


MORE = os.environ.get("SWIFT_TEST_STRATEGIES", "").split()
"""Strategies that take longer: `make test-parallel` adds tensor, `make test-deepspeed` DeepSpeed, which builds an
operator first."""

STRATEGIES = ("ddp", "fsdp", "sequence", *MORE)
WRITES = bool(os.environ.get("SWIFT_WRITE_STRATEGIES"))
RECORDED = ROOT / "tests" / "strategies.json"
"""Strategy → method → `equal`, or why it is refused, as docs/scaling.md shows it; written by `make strategies`."""


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Strategy and trajectory → figures of two processes; torch is imported once for all methods."""
    output = tmp_path_factory.mktemp("two") / "figures.json"
    command = [warm.python(), "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(ROOT / "tests" / "whole_runs.py"), str(output), ",".join(STRATEGIES), *FILES]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": warm.python()}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(output.read_text())


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{Path(file).parents[1].name}-{Path(file).stem}")
def test_two_processes_follow_the_trajectory_of_one(file, strategy, figures):
    found, stored = figures[f"{strategy} {file}"], STORED[file]["figures"]
    if isinstance(found, str):
        assert WRITES or found == recorded()[strategy][STORED[file]["trainer"]]
        return
    assert all(found.values()), "Nothing was logged."
    assert found == near({name: stored[name][: len(values)] for name, values in found.items()})


def recorded():
    return json.loads(RECORDED.read_text(encoding="utf-8"))


def test_the_table_of_methods_and_strategies_is_what_ran(figures):
    outcome = {strategy: {} for strategy in STRATEGIES}
    for strategy in STRATEGIES:
        for file in FILES:
            found = figures[f"{strategy} {file}"]
            outcome[strategy][STORED[file]["trainer"]] = found if isinstance(found, str) else "equal"
    if WRITES:
        before = recorded() if RECORDED.is_file() else {}
        RECORDED.write_text(json.dumps({**before, **outcome}, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    assert outcome == {strategy: recorded()[strategy] for strategy in STRATEGIES}


def test_every_method_has_a_trajectory():
    installed = {entry.name for entry in Catalogue.installed().of_kind("trainer")}
    # those of Megatron-Core are the same methods on another engine, which wants a GPU: its own tests hold them to ours
    ours = {name for name in installed if not name.startswith("megatron_")}
    assert {stored["trainer"] for stored in STORED.values()} == ours
