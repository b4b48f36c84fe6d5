"""Fixtures that kernel tests share: tiny models, built once per test process."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import json
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def qwen2(tmp_path_factory):
    """A tiny Qwen2 checkpoint folder."""
    from swift_testing.tiny import tiny_qwen2

    return tiny_qwen2(tmp_path_factory.mktemp("qwen2"))


@pytest.fixture(scope="session")
def qwen2_vl(tmp_path_factory):
    """A tiny Qwen2-VL checkpoint folder."""
    from swift_testing.tiny import tiny_qwen2_vl

    return tiny_qwen2_vl(tmp_path_factory.mktemp("qwen2vl"))


@pytest.fixture
def write_rows(tmp_path):
    """Write rows as JSONL and return the path."""

    def write(rows, name="rows.jsonl") -> str:
        path = Path(tmp_path, name)
        path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
        return str(path)

    return write
