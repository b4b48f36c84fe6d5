"""make test-elastic: two launchers as on two machines, `--nnodes 1:2`; one machine is lost, and later another comes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time

import psutil
import pytest
from swift_testing.tiny import tiny_qwen2

from swift_core.jobs.checkpoints import checkpoints, damage, state_of

pytestmark = pytest.mark.skipif(os.environ.get("SWIFT_TEST_ELASTIC") != "1", reason="make test-elastic")

SLOW = """
    import time
    from swift_core import hookimpl

    class Slow:
        'A patcher of this test: half a second a step.'
        swift_api = 1

        @hookimpl
        def patch_model(self, model):
            model.register_forward_pre_hook(lambda *_: time.sleep(0.5))
    """


@pytest.fixture
def place(tmp_path):
    tiny_qwen2(tmp_path / "base", tie_word_embeddings=True)
    rows = [{"query": f"What is {n} + {n}?", "response": f"It is {2 * n}."} for n in range(32)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW))
    info = tmp_path / "slow-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: slow\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[swift_core.patchers]\nslow = slow:Slow\n")
    return tmp_path


class Machine:
    """A launcher with its own agent and processes, and what it says."""

    def __init__(self, place, number, port, steps):
        given = {
            "model": str(place / "base"), "dataset": [str(place / "rows.jsonl")], "output_dir": str(place / "out"),
            "tuner": ["full"], "device": "cpu", "torch_dtype": "float32", "logging_steps": 1, "max_steps": steps,
            "save_steps": 2, "per_device_train_batch_size": 1, "patcher": ["slow"], "launcher": "torchrun",
            "nnodes": "1:2", "nproc_per_node": 1, "node_rank": number, "master_port": port, "max_restarts": 3,
        }  # fmt: skip
        file = place / f"{number}-{time.monotonic_ns()}.json"
        file.write_text(json.dumps(given))
        self.log = file.with_suffix(".log")
        paths = os.pathsep.join(filter(None, (str(place), os.environ.get("PYTHONPATH"))))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        with self.log.open("w") as stream:
            words = [sys.executable, "-m", "swift_core", "sft", "--config", str(file)]
            self.running = subprocess.Popen(words, env=environment, stdout=stream, stderr=subprocess.STDOUT)

    def lose(self):
        """End everything at once, as a machine whose power fails."""
        processes = [psutil.Process(self.running.pid), *psutil.Process(self.running.pid).children(recursive=True)]
        for process in processes:
            process.send_signal(signal.SIGKILL)
        self.running.wait()

    def said(self):
        return self.log.read_text()


def until(true, machines, seconds=240):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "\n".join(machine.said()[-3000:] for machine in machines)
        time.sleep(0.1)


def steps_of(out):
    return [int(folder.name.partition("-")[2]) for folder in checkpoints(out)]


def test_a_lost_machine_and_one_that_comes(place):
    """Both share a folder. One is lost after checkpoint-2; the other goes on alone; a third comes, and both end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    out, machines = place / "out", []
    try:
        machines += [Machine(place, number, port, 40) for number in (0, 1)]
        until(lambda: 2 in steps_of(out), machines)
        assert len(list((out / "checkpoint-2").glob("rng_state_*.pth"))) == 2
        machines[1].lose()
        lost_at = max(steps_of(out))
        until(lambda: max(steps_of(out)) >= lost_at + 4, machines)
        alone = checkpoints(out)[-1]
        assert len(list(alone.glob("rng_state*.pth"))) == 1
        machines.append(Machine(place, 1, port, 40))
        for machine in (machines[0], machines[2]):
            assert machine.running.wait(400) == 0, machine.said()[-3000:]
    finally:
        for machine in machines:
            if machine.running.poll() is None:
                machine.lose()
    said = machines[0].said()
    assert "is of a run on 2 processes, and this one is on 1:" in said
    assert "is of a run on 1 processes, and this one is on 2:" in said
    assert max(steps_of(out)) == 40 and all(damage(folder) is None for folder in checkpoints(out))
    assert len(list((out / "checkpoint-40").glob("rng_state_*.pth"))) == 2
    lines = [json.loads(line) for line in (out / "logging.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 41))
    assert state_of(out / "checkpoint-40")["global_step"] == 40
