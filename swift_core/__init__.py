"""swift-core: a plugin framework to fine-tune, align, evaluate, quantize and serve language models.

`import swift_core` is light: torch is imported by the functions that need it.
"""

from __future__ import annotations

from typing import Any

from swift_core.capability import Experimental, Supported, Unsupported
from swift_core.errors import SwiftError
from swift_core.hookspecs import hookimpl
from swift_core.options import option
from swift_core.version import __version__

__all__ = [
    "Experimental",
    "Supported",
    "SwiftError",
    "Unsupported",
    "__version__",
    "from_pretrained",
    "hookimpl",
    "merge",
    "option",
    "prepare_model",
    "run",
    "save_pretrained",
]

_API = ("from_pretrained", "merge", "prepare_model", "run", "save_pretrained")


def __getattr__(name: str) -> Any:
    if name in _API:
        from swift_core import api

        return getattr(api, name)
    raise AttributeError(f"module 'swift_core' has no attribute {name!r}")
