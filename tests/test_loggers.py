"""Loggers that are larger than everything else here: `make test-loggers` lays them beside the environment."""

import importlib.util
import json
import os
import struct
import subprocess
import sys

import pytest
from swift_testing.contracts import CHAT, tiny_model, write_rows

FILES = {"wandb": "wandb/offline-run-*/*.wandb", "swanlab": "swanlog/run-*/*.swanlab"}
WRITTEN = {"wandb": lambda value: repr(value).encode(), "swanlab": lambda value: struct.pack("<d", value)}


@pytest.mark.parametrize("name", FILES)
def test_a_run_is_kept_offline_with_every_figure(name, tmp_path):
    """A process of its own, since a logger keeps its run until the process ends; what was logged is in its file."""
    if importlib.util.find_spec(name) is None:
        pytest.skip("is run by make test-loggers")
    command = [sys.executable, "-m", "swift_core", "sft", "--model", tiny_model("qwen2"), "--dataset"]
    command += [write_rows(tmp_path, CHAT * 4), "--template", "chatml", "--output_dir", "out", "--report_to", name]
    command += ["--max_steps", "3", "--logging_steps", "1", "--split_dataset_ratio", "0.25", "--device", "cpu"]
    offline = {"WANDB_MODE": "offline", "SWANLAB_MODE": "offline", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **offline}, capture_output=True, text=True, check=False
    )
    assert not done.returncode, done.stderr[-2000:]
    (file,) = tmp_path.glob(FILES[name])
    found = file.read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "out" / "logging.jsonl").read_text().splitlines()]
    figures = [line[k] for line in lines for k in ("loss", "grad_norm", "eval_loss") if k in line]
    assert len(figures) == 7 and all(WRITTEN[name](value) in found for value in figures), figures
    assert b"train/grad_norm" in found and b"eval/loss" in found
