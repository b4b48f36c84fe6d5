"""ray: refused where Ray is not installed; with make test-ray, real jobs on a cluster of this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from swift_testing import LauncherContract
from swift_testing.contracts import bare_model
from swift_testing.patching import patcher_in
from swift_testing.tiny import tiny_qwen2

from swift_core.api import run
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare

REAL = os.environ.get("SWIFT_TEST_RAY") == "1"
real = pytest.mark.skipif(not REAL, reason="make test-ray")


@pytest.mark.skipif(REAL, reason="Ray is there")
def test_without_ray_it_is_refused_with_the_command():
    job = prepare("sft", [Given("model", bare_model(), "test"), Given("launcher", "ray", "test")])
    with pytest.raises(SwiftError, match=r"pip install 'swift-plugin-ray\[engine\]'"):
        job.hook.check_job(job=job)


@real
class TestRay(LauncherContract):
    name = "ray"
    options = {"nnodes": 2}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ray")
    tiny_qwen2(folder / "base", tie_word_embeddings=True)
    words = "one two three four five six seven eight".split()
    rows = [{"query": f"Count to {n}.", "response": " ".join(words[:n])} for n in (1, 8, 2, 7, 3, 6, 4, 5)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    return folder


def train(place, name, **changes):
    options = {
        "model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "output_dir": str(place / name),
        "tuner": ["full"], "device": "cpu", "torch_dtype": "float32", "learning_rate": 1e-3, "logging_steps": 1,
        "lr_scheduler_type": "constant", "warmup_ratio": 0, "max_steps": 4, "save_steps": 2,
        "per_device_train_batch_size": 1, "launcher": "ray", "nnodes": 2,
    }  # fmt: skip
    return run("sft", **{**options, **changes})


def losses(folder):
    lines = [json.loads(line) for line in (folder / "logging.jsonl").read_text().splitlines()]
    return [line["loss"] for line in lines if "loss" in line]


@pytest.fixture
def patcher(tmp_path, monkeypatch):
    return patcher_in(tmp_path, monkeypatch)


@pytest.fixture
def killing(patcher):
    """A patcher that kills rank 1, or the worker above it, in the third step; once."""
    return patcher(
        "killing",
        """
        import psutil
        seen, mark = [], pathlib.Path(os.environ["SWIFT_TEST_KILLED"])
        def count(module, _):
            seen.append(module.training)
            if os.environ["RANK"] == "1" and seen.count(True) == 3 and not mark.exists():
                mark.touch()
                me = psutil.Process()
                victim = me.parent().parent() if "worker" in mark.name else me
                os.kill(victim.pid, signal.SIGKILL)
        model.register_forward_pre_hook(count)
        """,
    )


@pytest.fixture(scope="module")
def whole(place):
    """The checkpoint of two processes that nobody kills, without Ray."""
    return train(place, "whole", launcher="torchrun", nnodes=1, nproc_per_node=2)["checkpoint"]


@real
@pytest.mark.parametrize(
    ("victim", "reason"), [("process", "worker 1 ended with exit code 137"), ("worker", "worker 1 is lost")]
)
def test_what_is_killed_is_replaced_and_nothing_shows(
    place, whole, killing, victim, reason, tmp_path, monkeypatch, capfd
):
    """Two workers with a process each; all start anew from checkpoint-2, and end where two others do."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("SWIFT_TEST_KILLED", str(tmp_path / victim))
    done = train(place, victim, patcher=killing, max_restarts=1)
    assert (tmp_path / victim).exists() and f"Ray: {reason}; all start anew" in capfd.readouterr().err
    assert losses(place / victim) == losses(place / "whole")
    files = [Path(folder, "model.safetensors").read_bytes() for folder in (whole, done["checkpoint"])]
    assert files[0] == files[1]


@real
def test_a_job_that_fails_for_good_ends_with_its_code(place, killing, tmp_path, monkeypatch):
    monkeypatch.setenv("SWIFT_TEST_KILLED", str(tmp_path / "process"))
    with pytest.raises(SwiftError, match="by signal SIGKILL"):
        train(place, "failed", patcher=killing)


@real
def test_no_cluster_and_no_room_are_told(place):
    with pytest.raises(SwiftError, match="no Ray cluster answers there"):
        train(place, "nowhere", ray_address="127.0.0.1:1")
