"""Every way to train names where it comes from, and each number that it takes, the paper's symbol."""

import importlib
import re

import pytest

from swift_core.catalogue.entries import Catalogue
from swift_core.job.options import fields_of

SOURCE = re.compile(r"arXiv \d{4}\.\d{5}|github\.com/\w+")
WITHOUT = {"full", "freeze", "fp32-norms", "input-grads"}
"""What no paper had to propose."""


@pytest.mark.parametrize("kind", ["tuner", "optimizer", "quantizer", "patcher"])
def test_each_names_its_paper_or_its_library(kind):
    for entry in Catalogue.installed().of_kind(kind):
        component = entry.load()
        words = f"{importlib.import_module(component.__module__).__doc__} {component.__doc__}"
        assert SOURCE.search(words) or entry.name in WITHOUT, f"{kind} {entry.name}: {words}"


NUMBER = re.compile(r"(int|float)( \| None)?|Literal\[[\d, ]+\]")
"""Types of options for which papers have symbols; names, flags and lists have none."""


@pytest.mark.parametrize("kind", ["tuner", "optimizer", "quantizer"])
def test_each_number_has_the_symbol_of_its_paper(kind):
    """`symbol` says it and the help repeats it as a word of its own; an empty one says that the paper has none."""
    for entry in Catalogue.installed().of_kind(kind):
        for name, field in fields_of(entry.load()).items():
            if not NUMBER.fullmatch(field.type):
                continue
            symbol, text = field.metadata["symbol"], field.metadata["description"]
            assert symbol is not None, (
                f'{entry.name}: say `symbol="…"` of {name}, or `symbol=""` if its paper has none.'
            )
            alone = re.search(rf"(?<!\w){re.escape(symbol)}(?!\w)", text)
            assert not symbol or alone, f"{entry.name}: {name} is {symbol} in the paper, and its help hides it: {text}"
