"""Jobs as real processes: started, found again by another server, stopped, resumed, queued, deleted; what logs say."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest
from swift_plugin_webui.forms.written import WrittenJob
from swift_plugin_webui.jobs import curves, log
from swift_plugin_webui.jobs.record import ENDED, LOG, process_in
from swift_plugin_webui.jobs.store import Store, why
from swift_plugin_webui.safety.files import archive, below, found, offered
from swift_plugin_webui.safety.paths import Places

from swift_core import SwiftError


class Slow(BaseHTTPRequestHandler):
    """A model's server that lists one model and answers when it is let."""

    keys: ClassVar[list[str]] = []
    let = threading.Event()

    def do_GET(self):
        self.keys.append(self.headers.get("authorization", ""))
        self.answer({"data": [{"id": "m"}]})

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.let.wait(60)
        self.answer({"choices": [{"message": {"role": "assistant", "content": "A"}, "finish_reason": "stop"}]})

    def answer(self, value):
        body = json.dumps(value).encode()
        with contextlib.suppress(OSError):  # the job has ended meanwhile
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def url():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    Slow.let.set()
    server.shutdown()


@pytest.fixture
def store(tmp_path):
    (tmp_path / "my set_val.csv").write_text("id,question,A,B,C,D,answer\n0,What?,1,2,3,4,A\n")
    return Store(tmp_path / "web ui", Places([tmp_path]))


def until(store, name, *states, seconds=60):
    """The job once it is in one of the states."""
    end = time.monotonic() + seconds
    while (job := store.find(name)).state not in states:
        assert time.monotonic() < end, (job.state, log.tail(job.folder / LOG))
        time.sleep(0.05)
    return job


def asking(url, store, *devices, **secrets):
    """An evaluation: a real job without torch, which is under way as long as the server does not answer."""
    file = str(store.folder.parent / "my set_val.csv")
    return WrittenJob(
        "eval", {"eval_url": url, "eval_dataset": [file], "system": 'be "brief" 你好'}, secrets, [*devices]
    )


def asks(job, count):
    """Wait until the server was asked so often for its models."""
    while len(Slow.keys) < count:
        assert job.state not in ENDED
        time.sleep(0.05)


def test_a_job_outlives_its_server_and_others_wait_for_its_device(store, url):
    """Another server finds it, and those behind it on its GPU; it is stopped, the next begins; all are deleted."""
    Slow.let.clear()
    count = len(Slow.keys)
    first = store.start(asking(url, store, "0"))
    second = store.start(WrittenJob("sft", {"model": "./nothing"}, devices=["0", "1"]), waits=True)
    third = store.start(WrittenJob("sft", {"model": "./nothing"}, devices=["1"]), waits=True)
    asks(first, count + 1)

    other = Store(store.folder, store.places)
    assert [(job.name, job.state) for job in other.all()] == [
        (third.name, "queued"), (second.name, "queued"), (first.name, "running")
    ]  # fmt: skip
    with pytest.raises(SwiftError, match="stop it first"):
        other.delete(first.name)
    with pytest.raises(SwiftError, match="ended early go on"):
        other.resume(first.name)
    other.stop(third.name)
    assert until(other, third.name, "stopped").code == -15
    other.stop(first.name)
    until(other, first.name, "stopped")
    failed = until(store, second.name, "failed")
    assert failed.code == 2 and "neither a local folder" in log.reason(failed.folder / LOG)
    assert failed.resumable and not store.find(first.name).resumable
    again = store.resume(second.name)
    assert until(store, second.name, "failed").record.attempts == 2
    assert "attempt 2" in "\n".join(log.tail(again.folder / LOG))
    for job in other.all():
        other.delete(job.name)
    assert store.all() == []


def test_a_secret_reaches_the_job_and_stands_nowhere_else(store, url):
    Slow.let.clear()
    count = len(Slow.keys)
    job = store.start(asking(url, store, api_key="s3cr3t-key"))
    asks(job, count + 1)
    assert Slow.keys[-1] == "Bearer s3cr3t-key"
    words = process_in(job.folder / "process.json").cmdline()
    assert "--config" in words and "s3cr3t" not in " ".join(words)
    Slow.let.set()
    until(store, job.name, "done")
    for folder, _, names in os.walk(store.folder):
        for name in names:
            with open(os.path.join(folder, name), errors="replace") as stream:
                assert "s3cr3t" not in stream.read(), name
    assert store.find(job.name).record.secrets == ["api_key"]


def test_what_a_job_wrote_is_offered_and_nothing_else(store, url):
    Slow.let.set()
    job = until(store, store.start(asking(url, store)).name, "done")
    names = offered(job)
    assert {"log.txt", "job.yaml"} < {*names} and any(name.endswith(".json") for name in names)
    checkpoint = job.output / "checkpoint-3"
    checkpoint.mkdir()
    (checkpoint / "trainer_state.json").write_text("{}")
    os.symlink("/etc/hostname", checkpoint / "link")
    packed = job.folder / "got.tar"
    packed.write_bytes(b"".join(archive(found(store, job.name, "checkpoint.tar"))))
    with tarfile.open(packed) as tar:
        assert tar.getnames() == ["checkpoint-3", "checkpoint-3/trainer_state.json"]
    os.symlink("/etc/hostname", job.output / "host.txt")
    assert below(job)["checkpoint-3/trainer_state.json"] == 2 and "host.txt" not in below(job)
    assert found(store, job.name, "checkpoint-3/trainer_state.json").read_text() == "{}"
    for what in ("../job.json", "job.json", "/etc/passwd", "..", "nothing", "host.txt"):
        with pytest.raises(SwiftError):
            found(store, job.name, what)


def test_an_unread_secret_is_refused_as_any_option_is(store):
    """What comes through the pipe is read: an unknown name in it is an error of the job."""
    job = store.start(WrittenJob("eval", {"eval_url": "http://127.0.0.1:9/v1"}, {"no_such_key": "s3cr3t"}))
    until(store, job.name, "failed")
    said = log.reason(job.folder / LOG)
    assert "no_such_key" in said and "s3cr3t" not in said


def test_values_arrive_and_places_outside_are_refused(store):
    text = "two words, 'quotes', \"more\", {json: 1}\n第二行 $HOME"
    job = store.start(WrittenJob("sft", {"model": "./nothing", "system": text, "max_steps": "no number"}))
    assert job.record.words.count(text) == 1
    until(store, job.name, "failed")
    said = log.reason(job.folder / LOG)
    assert "max_steps" in said and "--system" not in said
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
    while process_in(job.folder / "keeper.json") is not None:  # it has noted the end, and ends
        time.sleep(0.05)
    (job.folder / "exit.json").unlink()
    assert store.find(job.name).state == "lost"
    stranger = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    for name in ("process.json", "keeper.json"):  # its number was given to another process since
        (job.folder / name).write_text(json.dumps({"pid": stranger.pid, "started": 1.0}))
    assert store.find(job.name).state == "lost"
    store.stop(job.name)
    assert stranger.poll() is None
    stranger.communicate(b"\n")


def test_a_job_that_is_killed_says_so_and_folders_may_go(store, url):
    Slow.let.clear()
    count = len(Slow.keys)
    job = store.start(asking(url, store))
    asks(job, count + 1)
    process_in(job.folder / "process.json").kill()
    failed = until(store, job.name, "failed")
    assert "signal 9" in why(failed) and "memory" in why(failed)
    shutil.rmtree(store.folder)
    assert store.all() == []
    again = store.start(WrittenJob("sft", {"model": "./nothing"}))
    assert "neither a local folder" in why(until(store, again.name, "failed"))


def test_logs_as_a_terminal_shows_them(tmp_path):
    file = tmp_path / "log.txt"
    bars = "".join(f"\rtraining: {n}%|###   | {n}/100 [00:{n:02}<01:{n:02}, 1.0step/s]" for n in range(100))
    file.write_bytes(f"Model: m\nData: d\n{bars}\n{bars.replace(chr(13), chr(10))}\nfine\n".encode())
    lines = [line for line in log.tail(file) if line]
    assert lines[:2] == ["Model: m", "Data: d"] and lines[-1] == "fine" and len(lines) == 5
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
