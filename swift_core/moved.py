"""Old import paths, for one minor version: they still work, and say with a DeprecationWarning what to write instead.

Python asks this finder last, so a module that exists is never looked up here. Remove it with swift-core 0.3.
"""

from __future__ import annotations

import importlib.util
import sys
import warnings
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

MOVED: dict[str, tuple[str, ...]] = {
    "swift_core.batcher": ("swift_plugin_serving.batcher",),
    "swift_core.capability": ("swift_core.contract.capability",),
    "swift_core.choose": ("swift_core.job.resolve", "swift_core.job.lockfile"),
    "swift_core.data.declared": ("swift_core.data.sources", "swift_core.data.dataset_info"),
    "swift_core.data.row": ("swift_core.contract.row",),
    "swift_core.data.syntax": ("swift_core.contract.source",),
    "swift_core.engine": ("swift_core.contract.engine", "swift_core.inference.conversation"),
    "swift_core.environments": ("swift_core.catalogue.venvs", "swift_core.contract.components"),
    "swift_core.errors": ("swift_core.contract.errors",),
    "swift_core.evalsets": ("swift_core.evaluation.sets",),
    "swift_core.hookspecs": ("swift_core.contract.hooks",),
    "swift_core.jobs.common": ("swift_core.jobs.steps",),
    "swift_core.kinds": ("swift_core.contract.kinds",),
    "swift_core.metrics": ("swift_core.evaluation.metrics",),
    "swift_core.models": ("swift_core.contract.cards",),
    "swift_core.models.card": ("swift_core.contract.cards",),
    "swift_core.models.index": ("swift_core.job.lockfile", "swift_core.job.family_lookup"),
    "swift_core.models.recall": ("swift_core.catalogue.card_cache",),
    "swift_core.openai_api": ("swift_plugin_serving.openai_api",),
    "swift_core.openai_form": ("swift_plugin_serving.openai_form",),
    "swift_core.options": ("swift_core.job.options",),
    "swift_core.relay": ("swift_core.job.plugin_manager",),
    "swift_core.remote": ("swift_plugin_serving.remote",),
    "swift_core.rewards": ("swift_core.evaluation.rewards",),
    "swift_core.scaffold": ("swift_core.cli.scaffold",),
    "swift_core.scoring_api": ("swift_plugin_serving.scoring_api",),
    "swift_core.server": ("swift_plugin_serving.server",),
    "swift_core.snapshot": ("swift_core.catalogue.metadata_cache",),
    "swift_core.templates.words": ("swift_core.templates.added_tokens",),
    "swift_core.testing": ("swift_testing",),
}
"""Old module → the modules that hold its names now."""


class Finder:
    """Finds the old modules of one table, `MOVED` or a plugin's own."""

    def __init__(self, moved: dict[str, tuple[str, ...]]):
        self.moved = moved

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> Any:
        """A module that looks its names up where they are now; None for any other name."""
        loader: Any = self
        return ModuleSpec(name, loader, is_package=True) if name in self.moved or self._inside(name) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module whose names are found when they are asked for."""
        places = self.moved.get(spec.name) or (self._inside(spec.name),)
        return _Alias(spec.name, places)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing is run."""

    def _inside(self, name: str) -> str:
        """Where a module below a moved package stands now; empty where none is."""
        for old, (new, *_) in self.moved.items():
            now = new + name.removeprefix(old)
            if name.startswith(f"{old}.") and _is_there(now):
                return now
        return ""


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False


class _Alias(ModuleType):
    def __init__(self, name: str, places: tuple[str, ...]):
        super().__init__(name)
        self.__dict__["_places"] = places

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        for place in self.__dict__["_places"]:
            module = importlib.import_module(place)
            if hasattr(module, name):
                return told(self.__name__, place, getattr(module, name))
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")


def told(old: str, new: str, value: Any) -> Any:
    """`value`, after a DeprecationWarning that names the new place."""
    warnings.warn(f"{old} is {new} now; the old path goes with swift-core 0.3.", DeprecationWarning, stacklevel=3)
    return value


def from_place(package: str, place: str, name: str) -> Any:
    """The name `name` of an old module, from the module `place`; AttributeError where it is not there.

    `from package import module` asks the package first: what is a module of the package is no old name.
    """
    if not place or name.startswith("__") or _is_there(f"{package}.{name}"):
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    module = importlib.import_module(place)
    if not hasattr(module, name):
        raise AttributeError(f"module {package!r} has no attribute {name!r}")
    return told(package, place, getattr(module, name))


def install(moved: dict[str, tuple[str, ...]]) -> None:
    """Let the old paths of a table be imported."""
    finder: Any = Finder(moved)
    sys.meta_path.append(finder)
