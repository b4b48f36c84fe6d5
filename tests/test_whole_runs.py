"""Two processes learn what one learns, method by method: the stored trajectories of the plugins hold them to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from swift_testing.contracts_trainers import near

from swift_core.catalogue.entries import Catalogue

ROOT = Path(__file__).parent.parent
FILES = [str(file) for file in sorted(ROOT.glob("plugins/trainers/*/tests/trajectory*.json"))]
STORED = {file: json.loads(Path(file).read_text()) for file in FILES}


@pytest.fixture(scope="module")
def figures(tmp_path_factory):
    """Trajectory → figures of two processes; torch is imported once for all methods."""
    output = tmp_path_factory.mktemp("two") / "figures.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(ROOT / "tests" / "whole_runs.py"), str(output), *FILES]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(output.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{Path(file).parents[1].name}-{Path(file).stem}")
def test_two_processes_follow_the_trajectory_of_one(file, figures):
    stored = STORED[file]["figures"]
    assert all(figures[file].values()), "Nothing was logged."
    assert figures[file] == near({name: stored[name][: len(values)] for name, values in figures[file].items()})


def test_every_method_has_a_trajectory():
    installed = {entry.name for entry in Catalogue.installed().of_kind("trainer")}
    assert {stored["trainer"] for stored in STORED.values()} == installed
