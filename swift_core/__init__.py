"""swift-core: a plugin framework to fine-tune, align, evaluate, quantize and serve language models.

`import swift_core` is light: each name is imported when it is asked for, and torch by the functions that need it.
"""

from __future__ import annotations

import sys

from swift_core.version import __version__

TYPE_CHECKING = False  # typing's own costs a quarter of an interpreter's start
if TYPE_CHECKING:
    from typing import Any

    from swift_core.api import activate, deactivate, from_pretrained, merge, prepare_model, run, save_pretrained
    from swift_core.contract.capability import Experimental, Supported, Unsupported
    from swift_core.contract.cards import Checkpoint, Family, Modules
    from swift_core.contract.errors import SwiftError
    from swift_core.contract.hooks import hookimpl
    from swift_core.job.options import option

__all__ = [
    "Checkpoint",
    "Experimental",
    "Family",
    "Modules",
    "Supported",
    "SwiftError",
    "Unsupported",
    "__version__",
    "activate",
    "deactivate",
    "from_pretrained",
    "hookimpl",
    "merge",
    "option",
    "prepare_model",
    "run",
    "save_pretrained",
]

_WHERE = {
    "api": ("activate", "deactivate", "from_pretrained", "merge", "prepare_model", "run", "save_pretrained"),
    "contract.capability": ("Experimental", "Supported", "Unsupported"),
    "contract.cards": ("Checkpoint", "Family", "Modules"),
    "contract.errors": ("SwiftError",),
    "contract.hooks": ("hookimpl",),
    "job.options": ("option",),
}
_MODULES = {name: module for module, names in _WHERE.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'swift_core' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"swift_core.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


class _OldPaths:
    """Asked last: a module that is not where it was is looked up in the table of those that moved."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        if not name.startswith("swift_core."):
            return None
        from swift_core.moved import MOVED, Finder

        return Finder(MOVED).find_spec(name)


sys.meta_path.append(_OldPaths)  # a class with a static find_spec is a finder
