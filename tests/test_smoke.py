"""The counts of `make bench-smoke`: work that is planted is seen, with its place; the rest is the same every time."""

from __future__ import annotations

import importlib
import sys
from collections import Counter

import pytest
import torch
import transformers

from benchmarks.smoke.__main__ import compared, keep, read
from benchmarks.smoke.counting import counting, modules
from benchmarks.smoke.subjects import SUBJECTS, write

NAME = "sft lora"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("smoke")
    (made / "planted_module.py").write_text("")
    write(made)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made)  # first: what is remembered of the installation holds for one path
        SUBJECTS[NAME](made)  # what is imported late is there from now on
        yield made


def counted(folder):
    before = set(sys.modules)
    with counting() as found:
        SUBJECTS[NAME](folder)
    return {NAME: found | modules(before)}


@pytest.fixture
def planted(monkeypatch):
    """Each step calls the model once more, copies a number to Python, and imports a module."""
    plain = transformers.Trainer.training_step

    def step(self, model, inputs, *args):
        with torch.no_grad():
            model(input_ids=inputs["input_ids"])
        loss = plain(self, model, inputs, *args)
        loss.item()
        importlib.import_module("planted_module")
        return loss

    def plant():
        monkeypatch.setattr(transformers.Trainer, "training_step", step)

    return plant


def test_planted_work_is_named_with_its_place(folder, planted):
    before = counted(folder)
    assert compared(before, counted(folder)) == ([], [])
    planted()
    now = counted(folder)
    more, other = compared(before, now)
    assert other == []
    grown = {line.split(": ")[1]: line for line in more}
    assert grown.keys() == {"host copy", "module", "multiply-adds", "pass", "product", "token"}
    assert all(line.startswith(f"{NAME}: ") for line in more)
    assert "test_smoke:planted.step: 0 -> 2" in grown["host copy"]
    assert "test_smoke:planted.step: 0 -> 2" in grown["pass"]
    assert "\n    planted_module: 0 -> 1" in grown["module"]
    assert compared(now, before)[0] == [] and len(compared(now, before)[1]) == len(more)


def test_counts_are_kept_as_they_are(tmp_path):
    counts = {NAME: Counter({("pass", "Model in a:b"): 3, ("module", "torch"): 1800})}
    keep(tmp_path / "stored.tsv", counts)
    versions, found = read(tmp_path / "stored.tsv")
    assert found == counts and f"torch {torch.__version__}" in versions
