"""The notebooks run from their first cell to their last, in a folder of their own, as Jupyter would run them.

`!command` is all that these notebooks use of IPython, so that they need no kernel to be tested.
"""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

import pytest
from fresh_venv import ROOT, run

NOTEBOOKS = sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))
SHELL = """
def _shell(command):
    import subprocess
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], check=True)

"""


def cells(notebook: Path) -> list[str]:
    """The code of its cells."""
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in content["cells"] if cell["cell_type"] == "code"]


def as_python(code: str) -> str:
    """A cell with its `!command` lines as calls."""
    joined = re.sub(r"\\\n *", "", code)
    return re.sub(r"^!(.*)$", lambda found: f"_shell({found[1]!r})", joined, flags=re.MULTILINE)


def test_there_are_three_without_outputs() -> None:
    assert [n.stem for n in NOTEBOOKS] == ["add_a_model", "agents", "first_hour"]
    for notebook in NOTEBOOKS:
        content = json.loads(notebook.read_text(encoding="utf-8"))
        assert content["nbformat"] == 4
        for cell in content["cells"]:
            assert cell["cell_type"] == "markdown" or (cell["outputs"] == [] and cell["execution_count"] is None)
            if cell["cell_type"] == "code":
                compile(as_python("".join(cell["source"])), notebook.name, "exec")


@pytest.mark.skipif("SWIFT_TEST_NOTEBOOKS" not in os.environ, reason="trains and serves: make test-notebooks")
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda n: n.stem)
def test_every_cell_runs(notebook: Path, tmp_path: Path) -> None:
    script = tmp_path / "work" / "notebook.py"
    script.parent.mkdir()
    script.write_text(SHELL + "\n".join(map(as_python, cells(notebook))), encoding="utf-8")
    run([sys.executable, str(script)], cwd=script.parent, path=Path(sys.executable).parent, seconds=1800)
