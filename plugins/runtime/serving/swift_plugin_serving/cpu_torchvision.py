"""torchvision in an environment of a torch for CPUs.

torchvision from PyPI is built for CUDA. Beside a torch for CPUs its operators cannot be loaded, and the import of
torchvision fails where it gives `nms` a shape. Declared beforehand it is imported; calling it remains an error.
"""

from __future__ import annotations

import os
from pathlib import Path

AT_IMPORT = '''import importlib.machinery, sys

class BeforeTorchvision:
    """Finds torchvision; what it lacks is declared when it is imported, and not before: that needs torch."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        if name != "torchvision":
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec and spec.loader and hasattr(spec.loader, "exec_module"):
            run = spec.loader.exec_module
            spec.loader.exec_module = lambda module: (declare(module), run(module))
        return spec

def declare(module):
    import pathlib, torch

    built = next(pathlib.Path(module.__file__).parent.glob("_C*.so"), None)
    try:
        torch.ops.load_library(str(built))
    except OSError:
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        module.__swift_declared__ = library  # else it goes with its declarations

sys.meta_path.insert(0, BeforeTorchvision)
'''
"""A program for the begin of a process, in whose environment nothing of ours is installed."""


def search_path(folder: str) -> str:
    """A PYTHONPATH with which a Python, and each that it starts, runs `AT_IMPORT`. folder: where to write it."""
    Path(folder, "sitecustomize.py").write_text(AT_IMPORT, encoding="utf-8")
    given = os.environ.get("PYTHONPATH")
    return os.pathsep.join([folder, given] if given else [folder])
