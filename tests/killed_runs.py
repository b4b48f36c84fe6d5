"""A training run in a process of its own, which a test may kill. Forked from a server that never trained itself."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def train_quietly(model: str, rows: str, output: Path, options: dict[str, Any]) -> None:
    """Run the job with nothing on standard error."""
    from test_training import train

    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    train(model, rows, output, **options)
