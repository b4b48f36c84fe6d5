"""`kill -9` at random moments: no torn checkpoint, and in the end the same weights to the bit.

`SWIFT_KILLS=200` says how many kills there are in all, of every method; one of each of two suffices to see a break.
"""

from __future__ import annotations

import itertools
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest
from killed_runs import train_quietly
from test_training import SHORT

from swift_core.jobs.checkpoints import LEAVING, checkpoints, damage

KILLS = int(os.environ.get("SWIFT_KILLS", "5"))

PAIRS = [{**row, "rejected_response": "I do not know."} for row in SHORT]
METHODS = {
    "full": ({"tuner": ["full"], "learning_rate": 1e-4}, SHORT),
    "lora": ({"lora_dropout": 0.1}, SHORT),
    "dpo": ({"trainer": "dpo"}, PAIRS),
    "grpo": (
        {
            "trainer": "grpo",
            "reward": ["repetition"],
            "temperature": 1.0,
            "num_generations": 2,
            "max_completion_length": 8,
            "per_device_train_batch_size": 1,
        },
        SHORT,
    ),
    "stream": ({"streaming": True}, SHORT[:10]),
}
SHARED = {"max_steps": 16, "save_steps": 2, "save_total_limit": 2}

forks = multiprocessing.get_context("forkserver")  # torch cannot train in a fork of a process that has trained
forks.set_forkserver_preload(["swift_plugin_runtime.training.trainer"])


def started(model, rows, output, options) -> multiprocessing.Process:
    process = forks.Process(target=train_quietly, args=(model, rows, output, {**SHARED, **options}))
    process.start()
    return process


def seen(aim: str, output: Path) -> bool:
    """Whether a checkpoint is being written, or deleted; folders may go while they are looked at."""
    if aim == "writing":
        return any(files for _, _, files in os.walk(output / ".saving"))
    _, folders, _ = next(os.walk(output), ("", [], []))
    return aim == "deleting" and any(name.startswith(LEAVING) for name in folders)


def moment(chance: random.Random, output: Path, process, seconds: float) -> str:
    """Wait for a moment to kill at: while a checkpoint is written, while one is deleted, or at any time."""
    aim = chance.choice(["writing", "deleting", "any"])
    until = time.monotonic() + (chance.uniform(0.1, seconds) if aim == "any" else 60)
    while process.is_alive() and time.monotonic() < until and not seen(aim, output):
        time.sleep(0.0005)
    time.sleep(chance.uniform(0, 0.02))
    return aim


@pytest.mark.parametrize("method", METHODS if KILLS > 5 else ["lora", "full"])
def test_killed_runs_end_as_the_one_that_was_not(qwen2, write_rows, tmp_path, method):
    options, rows = METHODS[method]
    file, output, chance = write_rows(rows), tmp_path / "out", random.Random(method)
    begun = time.monotonic()
    whole = started(qwen2, file, tmp_path / "whole", options)
    whole.join()
    seconds = time.monotonic() - begun
    assert whole.exitcode == 0
    kills, folders = {"writing": 0, "deleting": 0, "any": 0}, itertools.count()
    while not (sum(kills.values()) >= KILLS // len(METHODS) and checkpoints(output)[-1:] == [output / "checkpoint-16"]):
        go_on = {"resume_from_checkpoint": "last"} if checkpoints(output) else {}
        if output.joinpath("checkpoint-16").exists():
            output = tmp_path / f"out{next(folders)}"  # it got to the end before enough kills: once more
            go_on = {}
        process = started(qwen2, file, output, {**options, **go_on})
        aim = moment(chance, output, process, seconds) if sum(kills.values()) < KILLS // len(METHODS) else None
        if aim and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            kills[aim] += 1
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        assert [damage(found) for found in output.glob("checkpoint-*")] == [None] * len(
            list(output.glob("checkpoint-*"))
        )
    print(f"{method}: {kills}")
    for one in Path(tmp_path, "whole", "checkpoint-16").glob("*.safetensors"):
        assert (output / "checkpoint-16" / one.name).read_bytes() == one.read_bytes()
    assert len(checkpoints(output)) <= 3
