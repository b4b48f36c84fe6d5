"""Texts of like length stand in one part, and come back in their own order."""

from __future__ import annotations

import random

import pytest
import torch
from swift_plugin_runtime.batching.shared_rows import PaddedRows
from swift_plugin_runtime.encoding.media_check import media_in
from swift_plugin_runtime.scoring.parts import CALL, alike, in_parts
from swift_plugin_runtime.training.callbacks import Speed


def cost(lengths, parts):
    return sum(max(lengths[n] for n in part) * len(part) + CALL for part in parts)


def test_queries_and_documents_part():
    lengths = [20, 300, 21, 290, 19, 310, 22, 305]
    assert [sorted(part) for part in alike(lengths)] == [[1, 3, 5, 7], [0, 2, 4, 6]]


def test_what_a_call_would_save_less_than_it_costs_stays_together():
    assert len(alike([100, 90, 100, 95])) == 1
    assert len(alike([5])) == 1


@pytest.mark.parametrize("count", [2, 7, 8])
def test_no_cut_in_three_costs_less(count):
    lengths = random.Random(count).sample(range(10, 900), count)
    order = sorted(range(count), key=lambda n: -lengths[n])
    cuts = [(a, b) for a in range(count + 1) for b in range(a, count + 1)]
    least = min(cost(lengths, [part for part in (order[:a], order[a:b], order[b:]) if part]) for a, b in cuts)
    assert cost(lengths, alike(lengths)) <= least


def test_many_texts_are_cut_at_few_places():
    lengths = random.Random(0).choices(range(10, 900), k=1000)
    parts = alike(lengths)
    assert sorted(n for part in parts for n in part) == list(range(1000))
    assert cost(lengths, parts) < 0.65 * cost(lengths, [range(1000)])


def test_several_processes_call_the_model_equally_often(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert len(alike([20, 300, 21, 290])) == 1


def test_each_text_is_found_in_its_place():
    texts = [{"input_ids": [n] * length} for n, length in enumerate([20, 300, 21, 290, 19])]
    found = in_parts(texts, PaddedRows(0))
    assert len(found["parts"]) == 2
    read = torch.cat([part["input_ids"][:, 0] for part in found["parts"].values()])[found["places"]]
    assert read.tolist() == [0, 1, 2, 3, 4]
    assert in_parts(texts[::2], PaddedRows(0))["input_ids"].tolist()[2][:20] == [4] * 19 + [0]


def test_tokens_and_media_of_all_parts_are_seen():
    """Else the log would tell of no token a second, and nobody would ask whether media reach the model."""
    texts = [{"input_ids": [1] * length} for length in (20, 300, 21, 290)]
    texts[2]["pixel_values"] = torch.ones(1, 3)
    found, speed = {"texts": in_parts(texts, PaddedRows(0))}, Speed()
    speed.add(found)
    assert int(speed.tokens) == 20 + 300 + 21 + 290
    assert media_in(found) == ["pixel_values"]
