"""Code of a test's own in the processes that a launcher starts: a patcher, installed for them."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest


def patcher_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[str]]:
    """A function from a name and the code of `patch_model` to the names for `--patcher`; it installs into `folder`."""
    return partial(_install, folder, monkeypatch)


def _install(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str) -> list[str]:
    code = "import os, pathlib, signal, subprocess, time\nfrom swift_core import hookimpl\n\n\n"
    code += f"class {name.capitalize()}:\n    'A patcher of this test.'\n    swift_api = 1\n\n"
    code += f"    @hookimpl\n    def patch_model(self, model):\n{textwrap.indent(textwrap.dedent(body), ' ' * 8)}"
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    points = f"[swift_core.patchers]\n{name} = {name}:{name.capitalize()}\n"
    (info / "entry_points.txt").write_text(points, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.syspath_prepend(folder)
    return [name]
