"""Rows with pictures laid end to end: each has the logits, the loss and the gradients that it has alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from swift_plugin_runtime.batching.collate import flat_batch, pad_batch
from swift_plugin_runtime.batching.padding_free import FlatRows, counter_of, keep_rows_apart, probe_rows
from swift_plugin_runtime.training.trainer import token_losses
from swift_testing.tiny import tiny_qwen2_vl

from swift_core import SwiftError
from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_model


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """(job, model, processor)"""
    folder = tiny_qwen2_vl(tmp_path_factory.mktemp("vl"), pixels=(28 * 28, 112 * 112))
    job = prepare("sft", [Given("model", folder, "test")])
    return job, *load_model(job)


def picture(seed, width=56, height=56):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def chat(question, answer, *images):
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return to_row({"messages": messages, "images": list(images)})


def rows():
    """A picture, two of different sizes, none, one again."""
    return [
        chat("<image>What is it?", "A dog.", picture(1)),
        chat("<image>And <image> here?", "A cat and a bird.", picture(2, 84, 28), picture(3, 56, 112)),
        chat("What is 1 + 2?", "The answer is 3."),
        chat("Look at <image>, please.", "Nothing.", picture(4, 28, 84)),
    ]


def encoded(loaded):
    job, _, processor = loaded
    return job.hook.encode(job=job, rows=rows(), processor=processor, generation=False)


def losses(model, batch):
    labels = batch.pop("labels")
    return token_losses(model, batch, labels)[0]


def test_each_row_keeps_its_loss_and_gradients(loaded):
    job, model, processor = loaded
    assert keep_rows_apart(model, probe_rows(job, rows(), processor))
    found = []
    for together in (True, False):
        model.zero_grad()
        if together:
            each = losses(model, flat_batch(encoded(loaded), counter_of(model)))
        else:
            each = torch.cat([losses(model, pad_batch([item], 0)) for item in encoded(loaded)])
        each.sum().backward()
        found.append([each.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert torch.allclose(found[0][0], found[1][0], atol=1e-5)
    assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(*found, strict=True))
    assert any(n.startswith("model.visual") and p.grad.abs().sum() > 0 for n, p in model.named_parameters())


def test_positions_of_a_row_that_does_not_start_anew_leak(loaded):
    """The control: counted along the whole batch, or without the plain positions in front."""
    _, model, _ = loaded
    alone = torch.cat([losses(model, pad_batch([item], 0)) for item in encoded(loaded)])
    batch = flat_batch(encoded(loaded), counter_of(model))
    wrong = {
        "along the batch": torch.arange(batch["input_ids"].shape[1])[None],
        "axes alone": batch["position_ids"][1:],
    }
    for name, positions in wrong.items():
        leaking = losses(model, {**batch, "position_ids": positions})
        assert not torch.allclose(leaking, alone, atol=1e-4), name


def test_pictures_are_tried_before_rows_are_laid_end_to_end(loaded):
    job, model, processor = loaded
    seen = probe_rows(job, rows(), processor)
    assert [len(item["image_grid_thw"]) for item in seen] == [1, 2]
    assert probe_rows(job, [rows()[2]], processor) == []
    with pytest.raises(SwiftError, match=r"pixel_values came up late .* --padding_free false"):
        FlatRows(model, set())(encoded(loaded))
    assert FlatRows(model, {"pixel_values"})(encoded(loaded))["position_ids"].shape[:2] == (4, 1)
