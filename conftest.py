"""For every test of the repository: Ctrl-C is heard, and garbage is looked for among what tests made alone."""

from __future__ import annotations

import gc
import signal
import sys

STEP = 200
"""New modules after which what is alive is set aside once more."""

gc.set_threshold(10_000, 20, 20)
aside = 0

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts its background jobs so, and children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_logfinish() -> None:
    """torch and transformers leave millions of objects behind; a full collection that walks them takes a second."""
    global aside
    if len(sys.modules) > aside + STEP:
        aside = len(sys.modules)
        gc.collect()
        gc.freeze()
