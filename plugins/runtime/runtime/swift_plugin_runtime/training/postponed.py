"""Imports that wait until something is wanted of them.

transformers' Trainer imports `datasets`, and with it pandas, to recognise a data set of that package: a tenth of the
time to the first step. Rows here are never one, so the package is bound to its name and loaded when it is first used.
The standard library's LazyLoader would load it as soon as anybody walks through all modules, as `inspect` does.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from typing import Any


class Postponed(types.ModuleType):
    """A module that knows its name, file and spec, and loads itself when it is asked for anything else."""

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        assert spec is not None and spec.loader is not None
        self.__class__ = types.ModuleType  # type: ignore[assignment]
        self.__path__ = list(spec.submodule_search_locations or ())
        spec.loader.exec_module(self)
        return getattr(self, name)


def postpone(name: str) -> None:
    """From now on `import name` binds a package that is loaded at its first use; one that is loaded already, or is not
    installed, is left alone."""
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None:
        return
    module = Postponed(name)
    module.__file__, module.__spec__, module.__loader__ = spec.origin, spec, spec.loader
    sys.modules[name] = module
