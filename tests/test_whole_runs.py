"""Two processes learn what one learns, method by method: the stored trajectories of the plugins hold them to it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = [str(next(f.parent.glob("test_*.py"))) for f in sorted(ROOT.glob("plugins/trainers/*/tests/trajectory.json"))]


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """Test file → losses of two processes; torch is imported once for all methods."""
    output = tmp_path_factory.mktemp("two") / "losses.json"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command += [str(ROOT / "tests" / "whole_runs.py"), str(output), *FILES]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(output.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: Path(file).parents[1].name)
def test_two_processes_follow_the_trajectory_of_one(file, losses):
    stored = json.loads(Path(file).with_name("trajectory.json").read_text())["losses"]
    assert losses[file] == pytest.approx(stored[:2], rel=2e-3, abs=1e-4)


def test_methods_without_rollouts_have_a_trajectory():
    names = {Path(file).parents[1].name for file in FILES}
    assert names >= set("pt sft dpo kto orpo cpo simpo rm seqcls embedding reranker".split())
