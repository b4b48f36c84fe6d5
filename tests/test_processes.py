"""The processes that tests of several start tell what went wrong in one of them."""

from __future__ import annotations

import os
import sys

import pytest
from swift_testing import processes
from swift_testing.processes import Processes


def program(tmp_path, monkeypatch, text):
    """Let processes be started by this script instead of Python."""
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    monkeypatch.setattr(processes.warm, "python", lambda: str(path))


def leave(code):
    print("about to leave", flush=True)
    os._exit(code)


def test_one_that_ends_before_it_connects_is_a_failure_that_shows_its_output(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, "echo no torch in this place >&2; exit 3")
    with pytest.raises(
        AssertionError, match=r"process 0 ended before it connected\.\n.* with 3:\nno torch in this place"
    ):
        Processes(2)


def test_one_that_ends_in_a_call_is_named_with_its_output(tmp_path, monkeypatch):
    program(tmp_path, monkeypatch, f'exec "{sys.executable}" "$@"')
    with Processes(1) as one:
        assert one.call(os.path.basename, "/a/b") == ["b"]
        with pytest.raises(AssertionError, match=r"process 0 ended\.\n.* with 5:\nabout to leave"):
            one.call(leave, 5)
        with pytest.raises(AssertionError, match=r"process 0 is gone"):
            one.call(os.getpid)
