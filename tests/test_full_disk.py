"""A real, small file system runs full within a job: one line says so, nothing whole is lost, the job goes on."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from pathlib import Path

import pytest
from test_training import SHORT, train

from swift_core import SwiftError
from swift_core.api import run
from swift_core.jobs.checkpoints import checkpoints, damage

WEIGHTS = {"full": "model.safetensors", "lora": "adapter_model.safetensors"}


class Disk:
    """A file system in memory of a few MiB, which may be made larger."""

    def __init__(self, folder: Path):
        self.folder = folder

    def mount(self, size: int, *words: str) -> None:
        options = ",".join([*words, f"size={size}"])
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True, capture_output=True)

    def fill(self) -> None:
        """Leave not a byte."""
        with (self.folder / "fill").open("ab", buffering=0) as stream:
            for size in (1 << 16, 1 << 12, 1):
                with contextlib.suppress(OSError):
                    while True:
                        stream.write(b"x" * size)


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder)
    try:
        disk.mount(8 << 20)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounts a small file system, and this user may not")
    yield disk
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize(("tuner", "rooms"), [("full", (3.3e6, 5.2e6)), ("lora", (2.3e5, 5.3e5, 9.8e5))])
def test_training_goes_on_where_there_is_room_again(qwen2, write_rows, tmp_path, disk, tuner, rooms):
    shared = {"tuner": [tuner], "save_steps": 2, "max_steps": 8}
    rows, weights = write_rows(SHORT), WEIGHTS[tuner]
    whole = Path(train(qwen2, rows, tmp_path / "whole", **shared)["checkpoint"], weights).read_bytes()
    for room in rooms:
        disk.mount(int(room), "remount")
        output = disk.folder / f"out-{room:.0f}"
        with pytest.raises(SwiftError, match=r"could not be written: the disk is full\. ") as told:
            train(qwen2, rows, output, **shared)
        there = checkpoints(output)
        assert len(there) < 4 and not any(map(damage, there))
        assert {p.name for p in output.iterdir()} <= {*(p.name for p in there), "logging.jsonl"}
        assert all(p.name in str(told.value) for p in there)
        disk.mount(32 << 20, "remount")
        again = train(qwen2, rows, output, **shared, **({"resume_from_checkpoint": "last"} if there else {}))
        assert Path(again["checkpoint"], weights).read_bytes() == whole
        subprocess.run(["rm", "-r", output], check=True)


def test_a_log_that_cannot_be_written_ends_nothing(qwen2, write_rows, disk, capsys):
    """The disk fills after the first logged step: a line says so, and the save at the end says it as well."""
    log = disk.folder / "out" / "logging.jsonl"

    def fill_it():
        while not (log.exists() and log.stat().st_size):
            time.sleep(0.001)
        disk.fill()

    filling = threading.Thread(target=fill_it, daemon=True)
    filling.start()
    with pytest.raises(SwiftError, match=r"checkpoint-60 could not be written: the disk is full\. No earlier"):
        train(qwen2, write_rows(SHORT), disk.folder / "out", max_steps=60)
    filling.join()
    said = "logging.jsonl cannot be written (No space left on device); training goes on without it"
    assert said in capsys.readouterr().out


def test_a_folder_without_a_byte_is_told_and_not_held(qwen2, write_rows, disk):
    disk.fill()
    rows = write_rows(SHORT)
    with pytest.raises(SwiftError, match="cannot be written: No space left on device"):
        train(qwen2, rows, disk.folder / "out", max_steps=1)
    (disk.folder / "fill").unlink()
    assert train(qwen2, rows, disk.folder / "out", max_steps=1)["checkpoint"]


def test_results_are_told_of_and_gone_on_with(qwen2, write_rows, disk, monkeypatch):
    """Answers that were given stay, and are not asked for again."""
    from swift_core.jobs import infer

    asked = write_rows([{"query": row["query"]} for row in SHORT], "asked.jsonl")
    shared = {"model": qwen2, "template": "chatml", "val_dataset": [asked], "max_new_tokens": 4, "max_batch_size": 8}
    shared["result_path"] = str(disk.folder / "results.jsonl")
    add = infer.Results.add

    def fill_after_the_first(results, records):
        if results.records:
            disk.fill()
        add(results, records)

    monkeypatch.setattr(infer.Results, "add", fill_after_the_first)
    with pytest.raises(SwiftError, match=r"could not be written: No space left on device.*swift infer"):
        run("infer", **shared)
    monkeypatch.undo()
    part = disk.folder / "results.jsonl.part"
    kept = part.read_text().count("\n") - 1
    assert kept > 0
    with pytest.raises(SwiftError, match="No space left on device"):
        run("infer", **shared, resume=True)
    assert part.read_text().count("\n") - 1 >= kept, "What was there is lost."
    (disk.folder / "fill").unlink()
    run("infer", **shared, resume=True)
    assert (disk.folder / "results.jsonl").read_text().count("\n") == len(SHORT)


def test_reports_and_samples_are_told_of(qwen2, write_rows, disk):
    rows = write_rows(SHORT)
    adapter = train(qwen2, rows, Path(rows).parent / "adapter", max_steps=1)["checkpoint"]
    disk.fill()
    shared = {"model": qwen2, "template": "chatml", "max_new_tokens": 4}
    with pytest.raises(SwiftError, match=r"could not be written: No space left.*swift eval"):
        run("eval", **shared, eval_dataset=[rows], output_dir=str(disk.folder / "eval"))
    with pytest.raises(SwiftError, match=r"could not be written: No space left.*swift sample"):
        run("sample", **shared, dataset=[rows], output_file=str(disk.folder / "drawn.jsonl"))
    with pytest.raises(SwiftError, match=r"merged could not be written: .*No space left"):
        run("merge-lora", ckpt_dir=adapter, output_dir=str(disk.folder / "merged"))
