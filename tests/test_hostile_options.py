"""No set of options ends in a traceback or a hang: each is a job that can be explained, or refused in words.

The full run: SWIFT_HOSTILE=full pytest tests/test_hostile_options.py -s
"""

from __future__ import annotations

import collections
import os
import signal

from hostile_options import Options
from swift_testing.contracts import bare_model

from swift_core import SwiftError
from swift_core.cli.work import explanation, prepared

SETS = 2000 if os.environ.get("SWIFT_HOSTILE") == "full" else 100
SEED = int(os.environ.get("SWIFT_HOSTILE_SEED", "0"))
SECONDS = 20
"""A set that takes longer hangs."""


def _stop(*_):
    raise TimeoutError(f"no end within {SECONDS} seconds")


def outcome(job, words):
    """`prepared` or `refused`; AssertionError for anything else that comes out."""
    try:
        made = prepared(job, words)
        made.hook.check_job(job=made)
        text = "\n".join(explanation(made))
    except SwiftError as error:
        refusal = str(error)
    else:
        text.encode()
        return "prepared"
    assert 0 < len(refusal) < 20_000, len(refusal)
    return "refused"


def test_hostile_options(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "files").mkdir()
    options = Options(SEED, tmp_path / "files", bare_model())
    counts, faults = collections.Counter(), []
    before = signal.signal(signal.SIGALRM, _stop)
    try:
        for number in range(SETS):
            job, words = options.job()
            signal.alarm(SECONDS)
            try:
                counts[outcome(job, words)] += 1
            except Exception as error:
                counts["hung" if isinstance(error, TimeoutError) else "traced"] += 1
                faults.append(f"{number}: swift {job} {words!r}"[:600] + f"\n    {place(error)}")
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    print(f"\n{SETS} sets of options: {dict(counts)}")
    assert not faults, "\n".join(faults[:20])
    assert counts["prepared"] > SETS / 30 and counts["refused"] > SETS / 3


def place(error):
    """The exception and where it was raised, in a line."""
    trace = error.__traceback__
    while trace.tb_next:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return f"{type(error).__name__}: {str(error)[:200]} at {code.co_filename}:{trace.tb_lineno}"
