"""slurm: the script and what is refused; with make test-slurm, jobs of a real Slurm of one machine."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from swift_plugin_slurm import Slurm, batch_script
from swift_plugin_slurm.following import State, exit_code
from swift_testing import LauncherContract
from swift_testing.contracts import bare_model
from swift_testing.patching import patcher_in
from swift_testing.tiny import tiny_qwen2

from swift_core.api import run
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

sys.path.insert(0, str(Path(__file__).parent))

import one_node

REAL = os.environ.get("SWIFT_TEST_SLURM") == "1"
real = pytest.mark.skipif(not REAL, reason="make test-slurm")


# -- without Slurm ----------------------------------------------------------------------------------------------
def test_the_script_says_what_was_asked(tmp_path):
    slurm = Slurm(
        nnodes=2, gpus_per_node=8, cpus_per_node=64, time="2-00:00:00", partition="long", account="a b",
        sbatch_lines=["mem=100G", "--qos=high"], setup_lines=["module load cuda"], warn_seconds=300, max_restarts=3,
    )  # fmt: skip
    text = batch_script(slurm, tmp_path / "run", [sys.executable, "-m", "swift_core", "sft", "--config", "a b.json"])
    lines = text.splitlines()
    directives = {line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH")}
    assert directives == {
        "requeue", "job-name=run", "nodes=2", "ntasks-per-node=1", "gpus-per-node=8", "cpus-per-task=64",
        "time=2-00:00:00", "partition=long", "account='a b'", f"output={tmp_path}/run/slurm-%j.log",
        "open-mode=append", "signal=USR1@300", "mem=100G", "qos=high",
    }  # fmt: skip
    assert "module load cuda" in lines and "--nnodes 2 --nproc_per_node 8 --max_restarts 3" in text
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert "--signal" not in batch_script(Slurm(warn_seconds=0), tmp_path, [sys.executable])


def test_what_the_script_starts_on_a_machine(tmp_path, monkeypatch):
    """Its own words, with srun, scontrol and Python that print theirs: quoting and numbers arrive."""
    for name, body in {
        "srun": 'echo "srun: $1 $2"; shift 1; export SLURM_NODEID=1; exec "$@"',
        "scontrol": "echo first; echo second",
        "python": 'for word in "$@"; do echo "<$word>"; done; exit 3',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    text = batch_script(Slurm(cpus_per_node=4), tmp_path, [str(tmp_path / "python"), "-m", "x", "a b"])
    text = text.replace("srun --cpus-per-task 4", "srun --cpus-per-task=4")
    place = {"SLURM_JOB_ID": "12345", "SLURM_JOB_NODELIST": "n[1-2]", "SLURM_RESTART_COUNT": "1"}
    done = subprocess.run(
        ["bash"], input=text, text=True, capture_output=True, check=False, env={**os.environ, **place}
    )
    assert done.returncode == 3, done.stderr
    words = [line[1:-1] for line in done.stdout.splitlines() if line.startswith("<")]
    assert words[-5:] == ["-m", "x", "a b", "--resume_from_checkpoint", "auto"]
    said = dict(zip(words[2:-5:2], words[3:-5:2], strict=True))
    assert said["--rdzv_endpoint"] == "first:22345" and said["--rdzv_id"] == "12345"
    assert said["--rdzv_conf"] == "is_host=false"


def test_without_sbatch_it_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    options = {"model": bare_model(), "launcher": "slurm"}
    with pytest.raises(SwiftError, match="sbatch and scontrol cannot be found"):
        prepared(options).hook.check_job(job=prepared(options))
    job = prepared({**options, "submit": False, "output_dir": str(tmp_path)})
    job.hook.check_job(job=job)
    assert job.hook.launch(job=job, command=["-m", "swift_core"]) == 0
    assert (tmp_path / "slurm.sh").read_text().startswith("#!/bin/bash\n#SBATCH --requeue\n")


def test_a_time_that_slurm_does_not_read_is_refused(tmp_path):
    options = {"model": bare_model(), "launcher": "slurm", "submit": False, "output_dir": str(tmp_path)}
    for time in ("90", "90:30", "12:00:00", "2-12", "2-12:00:00", "UNLIMITED"):
        prepared({**options, "time": time}).hook.check_job(job=prepared({**options, "time": time}))
    for time in ("2h", "1x", "12:00:00:00", "-5"):
        with pytest.raises(SwiftError, match="Slurm reads 90"):
            prepared({**options, "time": time}).hook.check_job(job=prepared({**options, "time": time}))


def prepared(options):
    return prepare("sft", [Given(k, v, "test") for k, v in options.items()])


def test_exit_codes_are_the_job_s_own():
    states = (("COMPLETED", 0, 0), ("FAILED", 7, 0), ("FAILED", 0, 9), ("TIMEOUT", 0, 0), ("NODE_FAIL", 0, 0))
    assert [exit_code(State(*state)) for state in states] == [0, 7, 137, 143, 1]


# -- with Slurm -------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    lacking = [name for name in one_node.PROGRAMS if shutil.which(name) is None]
    assert not lacking, f"{lacking} cannot be found: apt-get install slurmctld slurmd slurm-client munge"
    with one_node.OneNode(tmp_path_factory.mktemp("slurm")) as node:
        yield node


@pytest.fixture
def in_slurm(slurm, monkeypatch):
    monkeypatch.setenv("SLURM_CONF", slurm.environment["SLURM_CONF"])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return slurm


@real
class TestSlurm(LauncherContract):
    name = "slurm"
    options = {"nproc_per_node": 2}

    @pytest.fixture(autouse=True)
    def _there(self, in_slurm, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    tiny_qwen2(folder / "base", tie_word_embeddings=True)
    rows = [{"query": f"Count to {n}.", "response": "one two three four five six".split()[:n]} for n in range(1, 7)]
    rows = [{**row, "response": " ".join(row["response"])} for row in rows]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def train(place, name, **changes):
    options = {
        "model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "output_dir": str(place / name),
        "tuner": ["full"], "device": "cpu", "torch_dtype": "float32", "learning_rate": 1e-3, "logging_steps": 1,
        "max_steps": 6, "save_steps": 100, "per_device_train_batch_size": 1, "launcher": "slurm", "nproc_per_node": 2,
    }  # fmt: skip
    return run("sft", **{**options, **changes})


@pytest.fixture
def patcher(tmp_path, monkeypatch):
    return patcher_in(tmp_path, monkeypatch)


WARN = """
seen = []
def count(module, _):
    seen.append(module.training)
    if os.environ["RANK"] == "1" and os.environ.get("SLURM_RESTART_COUNT", "0") == "0" and seen.count(True) == 3:
        subprocess.run(["scancel", "--signal=USR1", os.environ["SLURM_JOB_ID"]])  # which gets it as well
        time.sleep(2)
model.register_forward_pre_hook(count)
"""
"""In the third step the job gets the signal that Slurm sends before the time limit."""


@real
def test_a_warned_job_is_saved_queued_again_and_ends_as_if_never_stopped(in_slurm, place, patcher, capfd):
    whole = train(place, "whole")
    warned = train(place, "warned", patcher=patcher("warning", WARN))
    said = capfd.readouterr().err
    assert "checkpoint-3 is saved, and the job is queued again" in said
    assert "PENDING" in said and "Slurm job" in said and "COMPLETED" in said
    assert Path(warned["checkpoint"]).name == "checkpoint-6"
    files = [Path(done["checkpoint"], "model.safetensors").read_bytes() for done in (whole, warned)]
    assert files[0] == files[1]
    assert len(list(Path(warned["checkpoint"]).glob("rng_state_*.pth"))) == 2


@real
def test_the_job_s_exit_code_is_ours(in_slurm, place, patcher, capfd):
    with pytest.raises(SwiftError, match="ended with exit code 7"):
        train(place, "failing", patcher=patcher("failing", "os._exit(7)"))
    assert "Process 0 failed first" in capfd.readouterr().err  # the log of the job was shown


@real
def test_slurm_s_refusal_is_told(in_slurm, place):
    with pytest.raises(SwiftError, match=r"sbatch refused .*nvalid"):
        train(place, "refused", partition="nowhere")


@real
def test_a_cancelled_job_is_no_success(in_slurm, place, patcher, capfd):
    body = 'subprocess.run(["scancel", os.environ["SLURM_JOB_ID"]])\ntime.sleep(60)\n'
    with pytest.raises(SwiftError, match="by signal SIGTERM"):
        train(place, "cancelled", patcher=patcher("cancelling", body))
    assert "CANCELLED" in capfd.readouterr().err
