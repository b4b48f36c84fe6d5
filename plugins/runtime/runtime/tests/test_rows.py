"""Encoded rows: stored and found again, lazy, streamed, packed, on several processes; always the same rows."""

from __future__ import annotations

import json
import os
import re
import time

import pytest
import torch
from swift_plugin_runtime.encoding import arrow_cache
from swift_plugin_runtime.encoding import datasets as module
from swift_plugin_runtime.encoding.datasets import Encoder, LazyRows, StreamedRows, encode_rows, pack, packs_of
from swift_plugin_runtime.training.trainer import build_token_trainer
from swift_testing.contracts import write_rows
from swift_testing.tiny import tiny_qwen2

from swift_core import SwiftError
from swift_core.data.load import load_all
from swift_core.data.stream import RowStream
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model
from swift_core.jobs.train import load_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Sets of ten rows are stored, in a cache of this test's own."""
    monkeypatch.setattr(module, "STORE_FROM", 10)
    monkeypatch.setattr(module, "ENCODE_TOGETHER", 4)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "swift-core" / "rows"


def chats(count=30):
    return [
        {"query": f"What is {n} + {n * n}?", "response": "It is " + "so " * (n % 7) + f"{n + n * n}."}
        for n in range(count)
    ]


def prepared(folder, place, rows=None, **options):
    place.mkdir(parents=True, exist_ok=True)
    file = write_rows(place, chats() if rows is None else rows)
    job = prepare("sft", [Given(k, v, "test") for k, v in {"model": folder, "dataset": [file], **options}.items()])
    return job, load_all(job, [file]), load_model(job)[1]


def plain(job, rows, processor):
    return job.hook.encode(job=job, rows=rows, processor=processor, generation=False)


# -- stored -----------------------------------------------------------------------------------------------
def test_stored_rows_are_the_rows(folder, tmp_path, cache):
    job, rows, processor = prepared(folder, tmp_path, loss_scale="react")
    found = encode_rows(job, rows, processor)
    assert [found[n] for n in range(len(found))] == plain(job, rows, processor)
    assert found.lengths() == [len(item["input_ids"]) for item in plain(job, rows, processor)]
    assert len(list(cache.glob("*.arrow"))) == 1
    with pytest.raises(IndexError):
        found[30]


def test_loss_scales_survive(folder, tmp_path):
    call = 'Thought: so\nAction: add\nAction Input: {"a": 1}\nObservation:'
    rows = [{"query": f"{n}?", "response": call if n % 2 else "No."} for n in range(12)]
    job, rows, processor = prepared(folder, tmp_path, rows, loss_scale="react")
    found, wanted = encode_rows(job, rows, processor), plain(job, rows, processor)
    assert "loss_scale" in wanted[1] and "loss_scale" not in found[0]
    assert all(found[n] == item for n, item in enumerate(wanted))


def test_a_second_run_starts_at_once(folder, tmp_path, capsys, monkeypatch):
    job, rows, processor = prepared(folder, tmp_path, max_length=50, truncation_strategy="delete")
    first = encode_rows(job, rows, processor)
    assert 0 < len(first) < 30
    told = re.findall(r"dropped .*", capsys.readouterr().err)
    again, rows, processor = prepared(folder, tmp_path, max_length=50, truncation_strategy="delete")
    monkeypatch.setattr(module, "encode_some", lambda *_: pytest.fail("encoded again"))
    second = encode_rows(again, rows, processor)
    assert list(second) == list(first)
    said = capsys.readouterr().err
    assert "at hand from an earlier run" in said and told[-1] in said


@pytest.mark.parametrize(
    "change",
    [{"system": "Be brief."}, {"max_length": 51}, {"template": "default"}, {"loss_scale": "all"}, {"rows": chats(29)}],
    ids=str,
)
def test_what_decides_makes_another_file(folder, tmp_path, change, cache):
    job, rows, processor = prepared(folder, tmp_path)
    before = arrow_cache.file_for(job, rows, processor)
    assert before == arrow_cache.file_for(*prepared(folder, tmp_path))
    assert before != arrow_cache.file_for(*prepared(folder, tmp_path, **change))
    job, rows, processor = prepared(folder, tmp_path)
    processor.add_tokens(["What"])
    assert before != arrow_cache.file_for(job, rows, processor)


def test_a_torn_file_is_made_anew_and_old_ones_go(folder, tmp_path, cache):
    job, rows, processor = prepared(folder, tmp_path)
    wanted = list(encode_rows(job, rows, processor))
    (file,) = cache.glob("*.arrow")
    file.write_bytes(file.read_bytes()[:100])
    assert list(encode_rows(job, rows, processor)) == wanted and file.stat().st_size > 100
    old = cache / "old.arrow"
    old.write_bytes(b"")
    os.utime(old, (time.time() - 31 * 86400,) * 2)
    arrow_cache.prune()
    assert file.exists() and not old.exists()


@pytest.mark.parametrize("part", range(1, 12))
def test_a_file_with_other_bytes_is_said_and_made_anew(folder, tmp_path, cache, capsys, part):
    """Two kilobytes of zeros, or one bit, anywhere in it."""
    job, rows, processor = prepared(folder, tmp_path)
    whole = list(encode_rows(job, rows, processor))
    (file,) = cache.glob("*.arrow")
    data = bytearray(file.read_bytes())
    place, size = len(data) * part // 12, 2048 if part % 2 else 1
    data[place : place + size] = bytes(b ^ 1 for b in data[place : place + size]) if size == 1 else bytes(size)
    file.write_bytes(data)
    assert list(encode_rows(job, rows, processor)) == whole
    assert f"{file} is damaged" in capsys.readouterr().err
    assert list(encode_rows(job, rows, processor)) == whole
    assert "is damaged" not in capsys.readouterr().err


def test_without_a_cache_nothing_is_written(folder, tmp_path, cache):
    job, rows, processor = prepared(folder, tmp_path, cache_dataset=False)
    assert list(encode_rows(job, rows, processor)) == plain(job, rows, processor)
    assert not cache.exists()
    cache.parent.mkdir(parents=True, exist_ok=True)
    cache.write_text("no folder can stand here")
    assert list(encode_rows(*prepared(folder, tmp_path))) == plain(job, rows, processor)


# -- several processes ------------------------------------------------------------------------------------
def test_two_processes_encode_the_same_rows_in_the_same_order(folder, tmp_path):
    options = {"max_length": 50, "cache_dataset": False}
    (one, *rest), (two, *_) = (prepared(folder, tmp_path, dataset_num_proc=n, **options) for n in (1, 2))
    encoders = [Encoder(job, rest[1]) for job in (one, two)]
    found = [list(module._stored(rest[0], encoder, "rows")) for encoder in encoders]
    assert found[0] == found[1]
    assert encoders[0].counts == encoders[1].counts and encoders[0].counts["long"] > 0


def test_a_mistake_in_another_process_is_said_here(folder, tmp_path):
    job, rows, processor = prepared(folder, tmp_path, dataset_num_proc=2, max_length=60, truncation_strategy="raise")
    with pytest.raises(SwiftError, match=r"rows.jsonl:\d+: \d+ tokens, more than max_length 60"):
        encode_rows(job, rows, processor)


# -- lazy -------------------------------------------------------------------------------------------------
def test_lazy_rows_are_the_rows_and_a_long_one_gives_way_to_the_next(folder, tmp_path, capsys):
    job, rows, processor = prepared(folder, tmp_path, lazy_tokenize=True, max_length=50)
    lazy, whole = encode_rows(job, rows, processor), plain(job, rows, processor)
    assert isinstance(lazy, LazyRows) and "when their turn comes" in capsys.readouterr().err
    short = [len(item["input_ids"]) <= 50 for item in whole]
    index = short.index(False)
    following = next(n for n in range(index + 1, 30) if short[n])
    assert lazy[index] == whole[following] and lazy.__getitems__([0, index]) == [whole[0], whole[following]]
    assert lazy.lengths() == [len(item["input_ids"]) * fits for item, fits in zip(whole, short, strict=True)]
    assert [row for pack in pack_of(lazy) for row in pack] and all(
        len(r["input_ids"]) <= 50 for p in pack_of(lazy) for r in p
    )


def pack_of(rows):
    packs = pack(rows, 100, 0)
    return [packs[n] for n in range(len(packs))]


def rows_with_a_picture():
    return [*chats(3), {"query": "<image>?", "response": "A dog.", "images": ["none.png"]}]


def test_bad_rows_are_skipped_and_counted(folder, tmp_path, capsys):
    job, rows, processor = prepared(folder, tmp_path, rows_with_a_picture(), strict=False)
    assert len(encode_rows(job, rows, processor, "training rows")) == 3
    assert "skipped 1 bad training rows, the first: " in capsys.readouterr().err
    strict, rows, processor = prepared(
        folder, tmp_path, [*chats(3), {"query": "<image>?", "response": "A dog.", "images": ["none.png"]}]
    )
    with pytest.raises(SwiftError, match=r"rows.jsonl:4: .* reads no image"):
        encode_rows(strict, rows, processor)


# -- packs ------------------------------------------------------------------------------------------------
def test_packs_hold_every_item_once_and_never_too_much():
    torch.manual_seed(0)
    sizes = torch.randint(1, 100, (500,)).tolist()
    for most_open in (4, 500):
        packs = list(packs_of(range(500), sizes.__getitem__, 120, most_open))
        assert sorted(n for p in packs for n in p) == list(range(500))
        assert all(sum(sizes[n] for n in p) <= 120 for p in packs)
    assert len(packs) * 120 < 1.05 * sum(sizes)


def test_an_item_goes_where_it_leaves_the_least_room():
    assert list(packs_of([6, 4, 3, 5, 2], lambda n: n, 10, 10)) == [[6, 4], [3, 5, 2]]
    assert list(packs_of([6, 7, 8, 4], lambda n: n, 10, 1)) == [[7], [8], [6, 4]]
    assert list(packs_of([12, 1], lambda n: n, 10, 10)) == [[12], [1]]


# -- streams ----------------------------------------------------------------------------------------------
def streamed(folder, place, rows=None, shuffle=1, limit=None, **options):
    job, _, processor = prepared(folder, place, rows, streaming=True, max_steps=2, **options)
    return job, StreamedRows(RowStream(job, job.options.dataset), Encoder(job, processor), 0, shuffle, limit)


def test_a_stream_gives_the_rows_in_order_or_shuffled_anew_in_every_epoch(folder, tmp_path):
    job, rows, processor = prepared(folder, tmp_path)
    whole = plain(job, rows, processor)
    assert list(streamed(folder, tmp_path)[1]) == whole
    _, stream = streamed(folder, tmp_path, shuffle=8)
    first, again = list(stream), list(stream)
    stream.set_epoch(1)
    assert first == again != whole and list(stream) != first
    assert sorted(map(json.dumps, first)) == sorted(map(json.dumps, whole))


def test_packs_of_a_stream_hold_its_rows(folder, tmp_path):
    _, stream = streamed(folder, tmp_path, limit=128)
    packs = list(stream)
    assert all(sum(len(row["input_ids"]) for row in p) <= 128 for p in packs) and len(packs) < 30
    assert sorted(json.dumps(row) for p in packs for row in p) == sorted(map(json.dumps, streamed(folder, tmp_path)[1]))


def test_a_stream_reads_no_further_than_it_must(folder, tmp_path):
    """A bad line far behind is not met by the first batches."""
    file = tmp_path / "rows.jsonl"
    _, stream = streamed(folder, tmp_path)
    file.write_text(file.read_text() + "{broken\n")
    items = iter(stream)
    assert len([next(items) for _ in range(20)]) == 20
    with pytest.raises(SwiftError, match=r"rows.jsonl:31: not valid JSON"):
        list(items)


def test_sources_take_turns_and_counts_hold(folder, tmp_path):
    job, *_ = prepared(folder, tmp_path)
    (tmp_path / "b").mkdir()
    few = write_rows(tmp_path / "b", [{"query": "b", "response": "B"}])
    names = [row.messages[0]["content"] for row in RowStream(job, [job.options.dataset[0] + "#2", few + "#4"])]
    assert names == ["What is 0 + 0?", "b", "What is 1 + 1?", "b", "b", "b"]


def test_training_on_a_stream_learns_what_training_on_the_set_does(folder, tmp_path):
    ends = []
    for name, more in {"set": {}, "stream": {"streaming": True}}.items():
        file = write_rows(tmp_path, chats())
        given = {
            "model": folder, "dataset": [file], "max_steps": 3, "dataset_shuffle": False, "device": "cpu",
            "per_device_train_batch_size": 4, "output_dir": str(tmp_path / name), "save_strategy": "no",
            "logging_steps": 1, "learning_rate": 1e-3, "tuner": "full", **more,
        }  # fmt: skip
        job = prepare("sft", [Given(k, v, "test") for k, v in given.items()])
        rows, _ = load_data(job)
        model, processor = load_model(job)
        trainer = build_token_trainer(job, attach_tuners(job, model), processor, rows, None)
        trainer.train()
        ends.append([x["loss"] for x in trainer.state.log_history if "loss" in x])
    assert ends[0] == pytest.approx(ends[1], abs=1e-6) and len(ends[0]) == 3


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"max_steps": 2, "trainer": "dpo"}, "does not serve the trainer 'dpo'"),
        ({}, "say how long to train with --max_steps"),
        ({"max_steps": 2, "split_dataset_ratio": 0.1}, "name a --val_dataset"),
    ],
)
def test_what_a_stream_cannot_do_is_refused(folder, tmp_path, options, reason):
    file = write_rows(tmp_path, chats())
    given = {"model": folder, "dataset": [file], "streaming": True, **options}
    with pytest.raises(SwiftError, match=reason):
        load_data(prepare("train", [Given(k, v, "test") for k, v in given.items()]))
