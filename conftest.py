"""For every test of the repository: Ctrl-C is heard, and garbage is looked for among what tests made alone."""

from __future__ import annotations

import gc
import signal
import sys
from typing import Any

STEP = 200
"""New modules after which what is alive is set aside once more."""

LONGEST = (
    "test_torchrun.py", "test_learning.py", "test_demo.py", "test_docs.py", "test_whole_runs.py", "test_listing1.py",
    "test_unloaded.py", "test_align.py", "test_third_party.py", "test_resume.py", "test_serving_forms.py",
    "test_imports.py", "test_serving_doors.py", "test_scaffold.py", "test_sequence.py", "test_fsdp.py",
    "test_tensor.py",
)  # fmt: skip
"""Files that take longest: they begin first, so that no process is left alone with one of them at the end."""

gc.set_threshold(10_000, 20, 20)
aside = 0

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts its background jobs so, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Put the tests of `LONGEST` first."""
    place = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.name, len(LONGEST)))


def pytest_runtest_logfinish() -> None:
    """torch and transformers leave millions of objects behind; a full collection that walks them takes a second."""
    global aside
    if len(sys.modules) > aside + STEP:
        aside = len(sys.modules)
        gc.collect()
        gc.freeze()
