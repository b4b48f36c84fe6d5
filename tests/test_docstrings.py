"""`tools/docstrings.py` finds the functions whose docstring keeps quiet, and no other."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from fresh_venv import ROOT


def mistakes(source: str, folder: Path) -> list[str]:
    """What the checker says of a module of the kernel with this source, without its place."""
    spec = importlib.util.spec_from_file_location("docstrings", ROOT / "tools" / "docstrings.py")
    checker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(checker)
    (folder / "swift_core").mkdir()
    (folder / "swift_core" / "planted.py").write_text(source, encoding="utf-8")
    return [line.split(": ", 1)[1] for line in checker.mistakes(folder)]


TENSOR = 'def norm(x: torch.Tensor) -> float:\n    """{}"""\n    return float(x.norm())\n'
RAISES = 'def read(n: int) -> int:\n    """{}"""\n    if n < 0:\n        raise SwiftError("no")\n    return n\n'
METHOD = "class Scale:\n    def forward(self, x: torch.Tensor):\n        return x\n"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (TENSOR.format("The length of x."), "norm takes or gives a tensor and its docstring names no shape"),
        (RAISES.format("The number."), "read raises SwiftError and its docstring does not say when"),
        (METHOD, "forward takes or gives a tensor"),
    ],
)
def test_a_quiet_docstring_is_found(source: str, said: str, tmp_path: Path) -> None:
    (line,) = mistakes(source, tmp_path)
    assert line.startswith(said)


@pytest.mark.parametrize(
    "source",
    [
        TENSOR.format("The length of x, [tokens]."),
        TENSOR.format("The length of x, any shape."),
        RAISES.format("The number. Raises SwiftError where it is negative."),
        TENSOR.format("Private.").replace("norm", "_norm", 1),
        "class Norm:\n    @hookimpl\n    def score(self, x: torch.Tensor):\n        raise SwiftError('no')\n",
    ],
)
def test_a_full_docstring_is_not(source: str, tmp_path: Path) -> None:
    assert mistakes(source, tmp_path) == []
