"""What the tests of every launcher share: code of a test's own in the processes that a launcher starts."""

from __future__ import annotations

import os
import textwrap

import pytest


@pytest.fixture
def patcher(tmp_path, monkeypatch):
    """Installs a patcher with this code in its `patch_model`, for all processes."""

    def install(name, body):
        code = "import os, pathlib, signal, subprocess, time\nfrom swift_core import hookimpl\n\n\n"
        code += f"class {name.capitalize()}:\n    'A patcher of this test.'\n    swift_api = 1\n\n"
        code += f"    @hookimpl\n    def patch_model(self, model):\n{textwrap.indent(textwrap.dedent(body), ' ' * 8)}"
        (tmp_path / f"{name}.py").write_text(code)
        info = tmp_path / f"{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[swift_core.patchers]\n{name} = {name}:{name.capitalize()}\n")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        monkeypatch.syspath_prepend(tmp_path)
        return [name]

    return install
