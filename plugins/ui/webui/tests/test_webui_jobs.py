"""Jobs as real processes: started, found again by another server, stopped, resumed, queued, deleted; what logs say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import time

import pytest
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.jobs import curves, log
from swift_plugin_webui.jobs.record import LOG, process_in, save
from swift_plugin_webui.jobs.store import Store
from swift_plugin_webui.safety.files import archive, found, offered
from swift_plugin_webui.safety.paths import Places
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.jobs.checkpoints import checkpoints


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("web ui")
    rows = [{"query": f"Say {n}.", "response": f"{n}, 好"} for n in range(24)]
    (folder / "my rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    tiny_qwen2(folder / "model")
    return folder


@pytest.fixture
def store(place, tmp_path):
    return Store(tmp_path / "jobs", Places([place, tmp_path]))


def until(store, name, *states, seconds=120):
    """The job once it is in one of the states."""
    end = time.monotonic() + seconds
    while (job := store.find(name)).state not in states:
        assert time.monotonic() < end, (job.state, log.tail(job.folder / LOG))
        time.sleep(0.1)
    return job


def training(place, **more):
    values = {"model": str(place / "model"), "dataset": [str(place / "my rows.jsonl")], "template": "chatml"}
    return WrittenJob("sft", {**values, "logging_steps": 1, "system": 'be "brief" 你好', **more})


def test_a_job_outlives_its_server_is_stopped_and_goes_on(store, place):
    """It waits behind another on its GPU; another server finds both; a stop saves; a resume ends where it should."""
    first = store.start(training(place, max_steps=4000, save_steps=5000), devices=["0"])
    second = store.start(WrittenJob("sft", {"model": "./nothing"}), devices=["0", "1"], waits=True)
    third = store.start(WrittenJob("sft", {"model": "./nothing"}), devices=["1"], waits=True)
    file = first.output / "logging.jsonl"
    while not curves.series_in(file):
        assert store.find(first.name).state in ("queued", "running"), log.tail(first.folder / LOG)
        time.sleep(0.1)
    assert store.find(second.name).state == store.find(third.name).state == "queued"

    other = Store(store.folder, store.places)
    assert [job.name for job in other.all()] == [third.name, second.name, first.name]
    assert other.find(first.name).state == "running" and log.progress(first.folder / LOG).all == 4000
    with pytest.raises(SwiftError, match="stop it first"):
        other.delete(first.name)
    other.stop(first.name)
    stopped = until(other, first.name, "stopped")
    assert stopped.resumable and checkpoints(stopped.output) and stopped.code == 143
    steps = max(step for step, _ in curves.series_in(file)["loss"])

    failed = until(store, second.name, "failed")
    assert failed.code == 2 and "neither a local folder" in log.reason(failed.folder / LOG)
    until(store, third.name, "failed")

    record = stopped.record
    record.values["max_steps"] = steps + 2
    save(stopped.folder, record)
    other.resume(first.name)
    done = until(store, first.name, "done")
    series = curves.series_in(file)["loss"]
    assert [step for step, _ in series] == [*range(1, steps + 3)]
    assert "attempt 2" in "\n".join(log.tail(done.folder / LOG))
    assert "checkpoint.tar" in offered(done) and "logging.jsonl" in offered(done)
    packed = done.folder / "got.tar"
    packed.write_bytes(b"".join(archive(found(store, first.name, "checkpoint.tar"))))
    with tarfile.open(packed) as tar:
        assert any(name.endswith("adapter_model.safetensors") for name in tar.getnames())
    for what in ("../job.json", "job.json", "/etc/passwd", "..", "nothing"):
        with pytest.raises(SwiftError):
            found(store, first.name, what)
    store.delete(first.name)
    assert not done.folder.exists()


def test_a_secret_reaches_the_job_and_stands_nowhere_else(store):
    written = WrittenJob(
        "eval", {"eval_url": "http://127.0.0.1:9/v1", "eval_dataset": ["./none.csv"]}, {"api_key": "s3cr3t-key"}
    )
    job = store.start(written)
    seen = ""
    while store.find(job.name).state in ("queued", "running"):
        process = process_in(job.folder / "process.json")
        if process is not None:
            seen = " ".join(process.cmdline())
        time.sleep(0.02)
    assert "/dev/fd/" in seen and "s3cr3t" not in seen
    for folder, _, names in os.walk(store.folder):
        for name in names:
            with open(os.path.join(folder, name), errors="replace") as stream:
                assert "s3cr3t" not in stream.read(), name
    assert "api_key" not in log.reason(job.folder / LOG), "the secret option was read, and refused nothing"
    assert store.find(job.name).record.secrets == ["api_key"]


def test_an_unread_secret_is_refused_as_any_option_is(store):
    """What comes through the pipe is read: an unknown name in it is an error of the job."""
    job = store.start(WrittenJob("eval", {"eval_url": "http://127.0.0.1:9/v1"}, {"no_such_key": "s3cr3t"}))
    until(store, job.name, "failed")
    said = log.reason(job.folder / LOG)
    assert "no_such_key" in said and "s3cr3t" not in said


def test_values_arrive_and_places_outside_are_refused(store, place, tmp_path):
    text = "two words, 'quotes', \"more\", {json: 1}\n第二行 $HOME"
    job = store.start(WrittenJob("sft", {"model": str(place / "model"), "system": text, "max_steps": "no number"}))
    assert "".join(job.record.words).count(text) == 1
    until(store, job.name, "failed")
    assert "max_steps" in log.reason(job.folder / LOG) and "--system" not in log.reason(job.folder / LOG)
    for values in ({"output_dir": "/etc/cron.d"}, {"dataset": ["/etc/passwd"]}, {"model": "~"}):
        with pytest.raises(SwiftError, match="outside the folders"):
            store.start(WrittenJob("sft", values))
    with pytest.raises(SwiftError, match="no job"):
        store.start(WrittenJob("rm -rf", {}))
    for name in ("..", "../jobs", "sft-20260101-000000", "/", ""):
        with pytest.raises(SwiftError, match="no job"):
            store.delete(name)


def test_a_job_whose_processes_are_gone_is_lost_not_running(store):
    job = store.start(WrittenJob("sft", {"model": "./nothing"}))
    until(store, job.name, "failed")
    (job.folder / "exit.json").unlink()
    assert store.find(job.name).state == "lost"
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for name in ("process.json", "keeper.json"):  # its number was given to another process since
        (job.folder / name).write_text(json.dumps({"pid": stranger.pid, "started": 1.0}))
    assert store.find(job.name).state == "lost"
    store.stop(job.name)
    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_logs_as_a_terminal_shows_them(tmp_path):
    file = tmp_path / "log.txt"
    bars = "".join(f"\rtraining: {n}%|###   | {n}/100 [00:{n:02}<01:{n:02}, 1.0step/s]" for n in range(100))
    file.write_bytes(f"Model: m\nData: d\n{bars}\n{bars.replace(chr(13), chr(10))}\nfine\n".encode())
    lines = log.tail(file)
    assert lines[:2] == ["Model: m", "Data: d"] and lines[-1] == "fine" and len(lines) == 4
    assert log.progress(file) == log.Progress(99, 100, "01:99")
    file.write_text("loading\nTraceback (most recent call last):\n  File x\nValueError: odd shape\nlater\n")
    assert log.reason(file) == "ValueError: odd shape"
    file.write_text("noise\nswift: The file 'a' is not there.\nSay --b.\n")
    assert log.reason(file) == "The file 'a' is not there.\nSay --b."
    file.write_text("Serving on http://127.0.0.1:34567\n")
    assert log.address(file) == "http://127.0.0.1:34567" and log.progress(file) is None
    assert log.tail(tmp_path / "none") == [] and log.reason(tmp_path / "none") == ""


def test_curves_are_panels_of_training_and_evaluation(tmp_path):
    file = tmp_path / "logging.jsonl"
    lines = [
        {"step": s, "epoch": 1, "loss": 4 - s, "rewards/chosen": s, "rewards/rejected": -s, "tokens_per_second": 9}
        for s in (1, 2, 3)
    ]
    lines += [{"step": 2, "eval_loss": 1.5, "eval_runtime": 3}, {"step": 3, "loss": 0.5}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"step": 4, "lo')
    series = curves.series_in(file)
    assert series["loss"] == [(1, 3.0), (2, 2.0), (3, 0.5)] and "eval_runtime" not in series
    assert curves.panels(series) == {"loss": ["loss", "eval_loss"], "rewards": ["rewards/chosen", "rewards/rejected"]}
    assert curves.smoothed([(1, 2.0), (2, 4.0)], 0) == [(1, 2.0), (2, 4.0)]
    assert curves.smoothed([(1, 2.0), (2, 4.0)], 0.5) == [(1, 2.0), (2, pytest.approx(10 / 3))]
    assert curves.series_in(tmp_path / "none") == {}
