"""No content of a data file ends in a traceback or a hang, and nothing that is accepted has lost or misread a text.

The full run: SWIFT_HOSTILE_ROWS=10000 SWIFT_HOSTILE_FILES=200 pytest tests/test_hostile_data.py -s
"""

from __future__ import annotations

import collections
import contextlib
import json
import os
import re
import signal

import pytest
from hostile import WORD, Files, Rows
from swift_plugin_runtime.encoding.datasets import encode_some
from swift_testing.contracts import catalogue, tiny_model, write_rows

from swift_core import SwiftError
from swift_core.contract.source import read_source
from swift_core.data.load import as_row, load_all
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model

ROWS = int(os.environ.get("SWIFT_HOSTILE_ROWS", "500"))
FILES = int(os.environ.get("SWIFT_HOSTILE_FILES", "60"))
SEED = int(os.environ.get("SWIFT_HOSTILE_SEED", "0"))

SEEN = re.compile(f"(?:{'|'.join(WORD.values())})\\d+q")


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    file = write_rows(tmp_path_factory.mktemp("rows"), [{"query": "a", "response": "b"}])
    values = {"model": tiny_model("qwen2"), "device": "cpu", "dataset": [file], "template": "chatml"}
    return prepare("sft", [Given(k, v, "test") for k, v in values.items()], catalogue())


@contextlib.contextmanager
def within(seconds):
    """A hang is an error."""

    def stop(*_):
        raise TimeoutError(f"no end within {seconds} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_hostile_rows(job):
    """Each is refused in words with its place, or whole: every text is there, said by whom it was said."""
    from swift_plugin_runtime.loading.processor import tokenizer_of

    _, processor = load_model(job)
    tokenizer = tokenizer_of(processor)
    source = read_source(job.options.dataset[0])
    rows, counts = Rows(SEED), collections.Counter()
    for number in range(ROWS):
        raw = rows.spoilt() if number % 10 else rows.sound()
        given = json.dumps(raw, default=str)
        with within(20):
            try:
                row = as_row(job, {**raw, "_where": "rows:7"}, source, need_answer=True)
                items = [encode_some(job, [row.with_messages(talk)], processor)[0] for talk in talks(row)]
            except SwiftError as error:
                refusal = str(error)
            else:
                refusal = None
        counts["refused" if refusal else "accepted"] += 1
        if refusal:
            assert "rows:7" in refusal and len(refusal) < 3000 and number % 10, (raw, refusal[:300])
            continue
        check_whole(row, given)
        for talk, item in zip(talks(row), items, strict=True):
            check_trained(tokenizer, talk, item)
    print(f"\n{ROWS} rows: {dict(counts)}, 0 tracebacks, 0 hangs, 0 accepted and wrong")
    assert counts["accepted"] > ROWS / 10 and counts["refused"] > ROWS / 10


def talks(row):
    """The conversations of a row."""
    return [row.messages, *([row.rejected] if row.rejected else [])]


def check_whole(row, given):
    """Every text of the raw row is somewhere in the row, and in the conversation in the mouth of its speaker."""
    kept = json.dumps([row.messages, row.rejected, row.extra, row.tools, row.label, row.objects], default=str)
    aside = re.findall(r'"[a-z]": "(\w+)"', given)  # under a key of a message that says nothing, as its id or its time
    assert set(SEEN.findall(given)) <= {*SEEN.findall(kept), *aside}, (given, kept)
    for message in (m for talk in talks(row) for m in talk):
        for word in SEEN.findall(json.dumps(message)):
            assert word.startswith(WORD[message["role"]]), (given, message)


def check_trained(tokenizer, talk, item):
    """The answers are trained, save those that the row silences, and nothing else of the conversation is."""
    trained = set(SEEN.findall(tokenizer.decode([label for label in item["labels"] if label != -100])))
    wanted = [m for m in talk if m["role"] == "assistant" and m.get("loss") is not False]
    assert trained == {word for m in wanted for word in SEEN.findall(m["content"])}, talk
    read = set(SEEN.findall(tokenizer.decode(item["input_ids"])))
    assert read >= {word for m in talk for word in SEEN.findall(m["content"])}, talk


def _is_cut(name, pair, known):
    """Whether it is a row whose last cell was cut: no reader can tell that from a table that ends there."""
    table = "csv" in name or "tsv" in name
    return table and any(pair[0] == query and answer.startswith(pair[1]) for query, answer in known)


def test_hostile_files(job, tmp_path):
    """Each is refused by name, or what is read of it are rows that stand in it."""
    files, counts = Files(SEED), collections.Counter()
    known = {(row["query"], row["response"]) for row in files.rows}
    for number in range(FILES):
        name, content = files.spoilt()
        file = tmp_path / f"{number}{name[1:]}"
        file.write_bytes(content)
        job.options.strict = bool(number % 2)
        with within(30):
            try:
                rows = load_all(job, [str(file)])
            except SwiftError as error:
                rows, refusal = [], str(error)
            else:
                refusal = None
        counts["refused" if refusal else "read"] += 1
        assert refusal is None or (str(file) in refusal and len(refusal) < 6000), (name, content[:300], refusal[:300])
        # a sign that was put before or behind a cell belongs to its text
        found = {tuple(text.strip('{}]"\x00') for text in (row.messages[0]["content"], row.answer)) for row in rows}
        wrong = {pair for pair in found - known if not _is_cut(name, pair, known)}
        assert not wrong, (name, content[:300], wrong)
    print(f"\n{FILES} files: {dict(counts)}, 0 tracebacks, 0 hangs, 0 accepted and wrong")
    assert counts["read"] > FILES / 10 and counts["refused"] > FILES / 10
