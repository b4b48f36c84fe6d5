"""Every way to train names where it comes from."""

import importlib
import re

import pytest

from swift_core.catalogue import Catalogue

SOURCE = re.compile(r"arXiv \d{4}\.\d{5}|github\.com/\w+")
WITHOUT = {"full", "freeze", "fp32-norms", "input-grads"}
"""What no paper had to propose."""


@pytest.mark.parametrize("kind", ["tuner", "optimizer", "quantizer", "patcher"])
def test_each_names_its_paper_or_its_library(kind):
    for entry in Catalogue.installed().of_kind(kind):
        component = entry.load()
        words = f"{importlib.import_module(component.__module__).__doc__} {component.__doc__}"
        assert SOURCE.search(words) or entry.name in WITHOUT, f"{kind} {entry.name}: {words}"
