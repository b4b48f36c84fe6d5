"""Going on from a checkpoint: the newest whole one, the same job or a word about what differs, nothing deleted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from swift_testing import warm
from test_training import SHORT, train

from swift_core import SwiftError
from swift_core.contract.errors import Interrupted
from swift_core.jobs.checkpoints import checkpoints, damage, newest_whole

FIVE = {"save_steps": 5, "max_steps": 10}


@pytest.fixture(scope="module")
def trained(qwen2, tmp_path_factory):
    """(data file, output folder) of a LoRA run with checkpoint-5 and checkpoint-10."""
    folder = tmp_path_factory.mktemp("trained")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in SHORT))
    train(qwen2, str(rows), folder / "out", **FIVE)
    return str(rows), folder / "out"


@pytest.fixture
def run_of_ten(trained, tmp_path):
    """A copy of it that a test may spoil."""
    rows, output = trained
    shutil.copytree(output, tmp_path / "out")
    return rows, tmp_path / "out"


def weights(folder) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in Path(folder).glob("*.safetensors")}


def log_steps(output) -> list[int]:
    return [json.loads(line)["step"] for line in (output / "logging.jsonl").read_text().splitlines()]


# -- a finished run -------------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [FIVE, {**FIVE, "max_steps": 8}])
def test_a_finished_run_does_nothing_and_says_so(qwen2, run_of_ten, capsys, options):
    rows, output = run_of_ten
    before = {p.name: p.stat().st_mtime_ns for p in output.iterdir() if not p.name.startswith(".")}
    for _ in range(2):
        done = train(qwen2, rows, output, **options, save_total_limit=1, resume_from_checkpoint="last")
        assert done["checkpoint"] == str(output / "checkpoint-10")
    assert "nothing is left to train" in capsys.readouterr().err
    assert {p.name: p.stat().st_mtime_ns for p in output.iterdir() if not p.name.startswith(".")} == before


def test_a_run_of_whole_epochs_is_finished_too(qwen2, write_rows, tmp_path, capsys):
    rows = write_rows(SHORT)
    train(qwen2, rows, tmp_path / "out")
    train(qwen2, rows, tmp_path / "out", resume_from_checkpoint="last")
    assert "nothing is left to train" in capsys.readouterr().err
    train(qwen2, rows, tmp_path / "out", num_train_epochs=2, resume_from_checkpoint="last")
    assert (tmp_path / "out" / "checkpoint-24").is_dir()


# -- which checkpoint -----------------------------------------------------------------------------------------
def test_last_is_the_newest_whole_checkpoint_by_content(qwen2, run_of_ten):
    """Exports, names without a number, empty folders and files are none."""
    rows, output = run_of_ten
    shutil.copytree(output / "checkpoint-10", output / "checkpoint-10-merged")
    shutil.copytree(output / "checkpoint-10", output / "checkpoint-final")
    (output / "checkpoint-15").mkdir()
    (output / "checkpoint-99").write_text("a file")
    assert [p.name for p in checkpoints(output)] == ["checkpoint-5", "checkpoint-10"]
    train(qwen2, rows, output, save_steps=1, max_steps=14, save_total_limit=2, resume_from_checkpoint="last")
    others = {"checkpoint-10-merged", "checkpoint-final", "checkpoint-15", "checkpoint-99"}
    assert {p.name for p in output.glob("checkpoint-*")} == {"checkpoint-13", "checkpoint-14", *others}


FILES = [
    "adapter_model.safetensors",
    "adapter_config.json",
    "optimizer.pt",
    "scheduler.pt",
    "rng_state.pth",
    "trainer_state.json",
    "swift.files.json",
]
SPOIL = {
    "missing": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[:-7]),
    "zeros": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "one_bit": lambda file: file.write_bytes(_flipped(file.read_bytes())),
}


def _flipped(data: bytes) -> bytes:
    place = len(data) * 2 // 3
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_checkpoint_is_said_and_an_older_one_taken(run_of_ten, name, how):
    _, output = run_of_ten
    if (name, how) in [("swift.files.json", "missing"), ("swift.files.json", "one_bit")]:
        pytest.skip("without a seal the files speak for themselves; a seal that differs is another file's fault")
    SPOIL[how](output / "checkpoint-10" / name)
    said: list[str] = []
    assert newest_whole(output, said.append) == output / "checkpoint-5"
    if name != "trainer_state.json" or how != "missing":
        assert len(said) == 1 and "checkpoint-10 is damaged" in said[0] and name in said[0]


def test_a_checkpoint_without_a_seal_is_looked_through(run_of_ten):
    """As an older version, or another program, writes one."""
    _, output = run_of_ten
    (output / "checkpoint-10" / "swift.files.json").unlink()
    assert damage(output / "checkpoint-10") is None
    for name in ("adapter_model.safetensors", "optimizer.pt", "adapter_config.json"):
        whole = (output / "checkpoint-10" / name).read_bytes()
        (output / "checkpoint-10" / name).write_bytes(whole[:-5])
        assert name in damage(output / "checkpoint-10")
        (output / "checkpoint-10" / name).write_bytes(whole)


def test_a_damaged_checkpoint_that_is_named_is_refused_with_the_whole_one(qwen2, run_of_ten):
    rows, output = run_of_ten
    SPOIL["cut"](output / "checkpoint-10" / "optimizer.pt")
    with pytest.raises(
        SwiftError, match=r"checkpoint-10 is damaged: optimizer.pt has .* The newest whole one is .*checkpoint-5"
    ):
        train(qwen2, rows, output, max_steps=12, resume_from_checkpoint=str(output / "checkpoint-10"))
    train(qwen2, rows, output, save_steps=5, max_steps=12, resume_from_checkpoint="last")
    assert log_steps(output)[-3:] == [11, 12, 12] and damage(output / "checkpoint-10") is None


def test_no_whole_checkpoint_is_an_error(qwen2, write_rows, tmp_path):
    with pytest.raises(SwiftError, match="There is no checkpoint in"):
        train(qwen2, write_rows(SHORT), tmp_path / "out", resume_from_checkpoint="last")


# -- the same job? --------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": 1e-5}, "--learning_rate 1e-05 (was 0.001)"),
        ({"weight_decay": 0.0}, "--weight_decay 0.0 (was 0.1)"),
        ({"lora_rank": 4}, "--lora_rank 4 (was 8)"),
        ({"lora_alpha": 64}, "--lora_alpha 64"),
        ({"tuner": ["ia3"]}, "--tuner ia3 (was lora)"),
        ({"tuner": ["dora"]}, "--tuner dora (was lora)"),
        ({"tuner": ["full"]}, "--tuner full (was lora)"),
        ({"tuner": ["lora", "ln_tuning"]}, "--tuner"),
        ({"optimizer": "adafactor"}, "--optimizer adafactor (was none)"),
        ({"trainer": "pt"}, "--trainer pt (was sft)"),
    ],
)
def test_what_a_checkpoint_cannot_go_on_with_is_refused(qwen2, trained, options, said):
    rows, output = trained
    with pytest.raises(SwiftError) as refused:
        train(qwen2, rows, output, **{**FIVE, "max_steps": 12, **options}, resume_from_checkpoint="last")
    assert said in str(refused.value) and "was trained otherwise" in str(refused.value)


def test_other_weights_are_refused_and_a_moved_folder_is_not(qwen2, run_of_ten, tmp_path):
    rows, output = run_of_ten
    moved = shutil.copytree(qwen2, tmp_path / "moved")
    train(str(moved), rows, output, **{**FIVE, "max_steps": 11}, resume_from_checkpoint="last")
    file = moved / "model.safetensors"
    file.write_bytes(_flipped(file.read_bytes()))
    with pytest.raises(SwiftError, match="other weights, of"):
        train(str(moved), rows, output, **{**FIVE, "max_steps": 12}, resume_from_checkpoint="last")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lr_scheduler_type": "linear"}, "--lr_scheduler_type linear (was cosine)"),
        ({"per_device_train_batch_size": 1}, "--per_device_train_batch_size 1 (was 2)"),
        ({"gradient_accumulation_steps": 2}, "--gradient_accumulation_steps 2 (was 1)"),
        ({"template": "qwen"}, "--template qwen (was chatml)"),
        ({"system": "Be brief."}, "--system Be brief. (was left out)"),
        ({"data_seed": 1}, "--data_seed 1 (was 42)"),
    ],
)
def test_what_makes_another_run_of_it_is_said(qwen2, run_of_ten, capsys, options, said):
    rows, output = run_of_ten
    train(qwen2, rows, output, **{**FIVE, "max_steps": 11, **options}, resume_from_checkpoint="last")
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("rows", [SHORT[::-1], SHORT[:12], [*SHORT[:-1], SHORT[0]]])
def test_other_data_is_said(qwen2, run_of_ten, tmp_path, capsys, rows):
    _, output = run_of_ten
    other = tmp_path / "rows.jsonl"
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    train(qwen2, str(other), output, **{**FIVE, "max_steps": 11}, resume_from_checkpoint="last")
    assert "not the same data as checkpoint-10's" in capsys.readouterr().err


def test_a_checkpoint_without_a_lock_is_gone_on_with_and_said(qwen2, write_rows, tmp_path, capsys):
    rows = write_rows(SHORT)
    train(qwen2, rows, tmp_path / "out")
    for name in ("swift.lock.json", "swift.files.json"):
        (tmp_path / "out" / "checkpoint-12" / name).unlink()
    train(qwen2, rows, tmp_path / "out", num_train_epochs=2, resume_from_checkpoint="last")
    assert "has no swift.lock.json" in capsys.readouterr().err
    assert (tmp_path / "out" / "checkpoint-24").is_dir()


def test_what_changes_nothing_is_taken_without_a_word(qwen2, run_of_ten, capsys):
    rows, output = run_of_ten
    changed = {"save_steps": 3, "logging_steps": 2, "save_total_limit": 4, "max_steps": 10}
    train(qwen2, rows, output, **changed, resume_from_checkpoint="last")
    assert "not the same" not in capsys.readouterr().err


# -- what is trained again ------------------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"packing": True, "max_length": 64}, {"dataset_shuffle": False}])
def test_a_stream_goes_on_in_any_pass_bit_for_bit(qwen2, write_rows, tmp_path, options):
    """12 rows, two a step: six steps a pass; checkpoint 8 lies in the second, 14 in the third."""
    shared = {"streaming": True, "max_steps": 16, "save_steps": 8, **options}
    rows = write_rows(SHORT[:12])
    train(qwen2, rows, tmp_path / "whole", **shared)
    train(qwen2, rows, tmp_path / "parts", **shared)
    shutil.rmtree(tmp_path / "parts" / "checkpoint-16")
    train(qwen2, rows, tmp_path / "parts", **shared, resume_from_checkpoint="last")
    assert weights(tmp_path / "parts" / "checkpoint-16") == weights(tmp_path / "whole" / "checkpoint-16")
    assert log_steps(tmp_path / "parts") == log_steps(tmp_path / "whole")


def test_a_stream_of_which_nothing_can_be_trained_ends(qwen2, write_rows, tmp_path):
    rows = write_rows([{"query": "q", "response": "r " * 100}])
    with pytest.raises(SwiftError, match="No rows are left"):
        train(qwen2, rows, tmp_path / "out", streaming=True, max_steps=2, max_length=16)


def test_without_optimizer_state_the_schedule_goes_on(qwen2, write_rows, tmp_path, capsys):
    def rates(output) -> list[float]:
        lines = [json.loads(line) for line in (output / "logging.jsonl").read_text().splitlines()]
        return [line["learning_rate"] for line in lines if "learning_rate" in line]

    shared = {"max_steps": 10, "save_steps": 5, "save_only_model": True}
    rows = write_rows(SHORT)
    train(qwen2, rows, tmp_path / "out", **shared)
    whole = rates(tmp_path / "out")
    shutil.rmtree(tmp_path / "out" / "checkpoint-10")
    train(qwen2, rows, tmp_path / "out", **shared, resume_from_checkpoint="last")
    assert "saved without the optimizer's state" in capsys.readouterr().err
    assert rates(tmp_path / "out") == whole


# -- one folder, one run --------------------------------------------------------------------------------------
def test_an_overwritten_run_is_moved_away_whole(qwen2, run_of_ten, capsys):
    rows, output = run_of_ten
    train(qwen2, rows, output, save_steps=3, max_steps=3, overwrite_output_dir=True)
    (old,) = output.glob("replaced-*")
    assert {"checkpoint-5", "checkpoint-10", "logging.jsonl"} <= {p.name for p in old.iterdir()}
    assert log_steps(output) == [1, 2, 3, 3] and str(old) in capsys.readouterr().err
    assert newest_whole(output, print) == output / "checkpoint-3"


def test_rotation_spares_what_is_not_this_runs(qwen2, run_of_ten):
    """Checkpoints of a run that wrote into the folder before, and torn ones."""
    rows, output = run_of_ten
    lock = output / "checkpoint-5" / "swift.lock.json"
    lock.write_text(json.dumps({**json.loads(lock.read_text()), "run": "another"}))
    (output / "checkpoint-7").mkdir()
    (output / ".leaving-checkpoint-1").mkdir()
    train(qwen2, rows, output, save_steps=1, max_steps=13, save_total_limit=1, resume_from_checkpoint="last")
    assert {p.name for p in output.glob("checkpoint-*")} == {"checkpoint-5", "checkpoint-7", "checkpoint-13"}
    assert not list(output.glob(".leaving-*"))


@pytest.mark.parametrize("place", ["/proc/swift/out", "/dev/null/out", "{file}"])
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_loaded(qwen2, trained, tmp_path, place):
    (tmp_path / "file").write_text("x")
    started = time.monotonic()
    with pytest.raises(SwiftError, match=r"--output_dir .*(cannot be written|is a file)"):
        train(qwen2, trained[0], place.format(file=tmp_path / "file"))
    assert time.monotonic() - started < 5


def test_a_folder_that_vanishes_does_not_end_a_run(qwen2, write_rows, tmp_path, capsys, monkeypatch):
    from swift_plugin_runtime.training.callbacks import Progress

    told = Progress.on_log

    def vanish(self, args, state, *rest, **named):
        if state.global_step == 3:
            shutil.rmtree(tmp_path / "out", ignore_errors=True)
        told(self, args, state, *rest, **named)

    monkeypatch.setattr(Progress, "on_log", vanish)
    train(qwen2, write_rows(SHORT), tmp_path / "out", save_steps=5, max_steps=6)
    assert damage(tmp_path / "out" / "checkpoint-6") is None


# -- processes ------------------------------------------------------------------------------------------------
def start(qwen2, rows, output, *words: str, steps: int = 100_000, cold: bool = False) -> subprocess.Popen:
    """A run. cold: as a process of its own, whose number is its own; otherwise it starts warm."""
    swift = [sys.executable, "-m", "swift_core"] if cold else [warm.path(output.parent / "bin") / "swift"]
    command = [*swift, "sft", "--model", qwen2, "--dataset", rows, "--output_dir", output]
    command += ["--max_steps", steps, "--template", "chatml", "--save_steps", "100000", "--logging_steps", "1", *words]
    return subprocess.Popen(
        list(map(str, command)),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for(what, process) -> None:
    deadline = time.monotonic() + 120
    while not what() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    assert what(), process.communicate(timeout=10)[1][-2000:] if process.poll() is not None else "too slow"


def test_a_signal_saves_a_whole_checkpoint_first(qwen2, trained, tmp_path):
    process = start(qwen2, trained[0], tmp_path / "out")
    wait_for((tmp_path / "out" / "logging.jsonl").is_file, process)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGTERM
    (saved,) = checkpoints(tmp_path / "out")
    assert damage(saved) is None and "stopped by SIGTERM" in said and str(saved) in said
    assert log_steps(tmp_path / "out")[-1] == int(saved.name.split("-")[1])


@pytest.mark.parametrize("name", ["SIGINT", "SIGUSR1"])
def test_a_run_that_a_signal_stopped_goes_on_bit_for_bit(qwen2, trained, tmp_path, monkeypatch, name):
    from swift_plugin_runtime.training.callbacks import Progress

    told = Progress.on_log

    def raise_at_four(self, args, state, *rest, **named):
        if state.global_step == 4:
            signal.raise_signal(getattr(signal, name))
        told(self, args, state, *rest, **named)

    before = signal.getsignal(getattr(signal, name))
    monkeypatch.setattr(Progress, "on_log", raise_at_four)
    with pytest.raises(Interrupted, match=f"stopped by {name} after step 5 of 10"):
        train(qwen2, trained[0], tmp_path / "out", **{**FIVE, "save_steps": 10})
    assert signal.getsignal(getattr(signal, name)) is before
    monkeypatch.undo()
    train(qwen2, trained[0], tmp_path / "out", **FIVE, resume_from_checkpoint="last")
    assert weights(tmp_path / "out" / "checkpoint-10") == weights(trained[1] / "checkpoint-10")


def test_a_signal_ends_a_run_at_once_where_it_shall(qwen2, trained, tmp_path):
    process = start(qwen2, trained[0], tmp_path / "out", "--save_on_signal", "false")
    wait_for((tmp_path / "out" / "logging.jsonl").is_file, process)
    process.terminate()
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM and not checkpoints(tmp_path / "out")


def test_a_second_run_in_one_folder_is_refused_while_the_first_lives(qwen2, trained, tmp_path):
    first = start(qwen2, trained[0], tmp_path / "out", cold=True)
    try:
        wait_for((tmp_path / "out" / "logging.jsonl").is_file, first)
        for more in ({}, {"overwrite_output_dir": True}, {"resume_from_checkpoint": "last"}):
            with pytest.raises(SwiftError, match=rf"is in use: process {first.pid} trains into it"):
                train(qwen2, trained[0], tmp_path / "out", max_steps=2, **more)
    finally:
        first.kill()
        first.communicate()
    train(qwen2, trained[0], tmp_path / "out", max_steps=2)  # the dead hold nothing
