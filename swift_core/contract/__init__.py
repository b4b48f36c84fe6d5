"""The contract: hooks, kinds, and the words that they are written in. It imports nothing else of swift-core."""

_MOVED = dict.fromkeys(("hook_specs", "implementations", "broken_hooks"), "swift_core.contract.signatures")
"""Names that stood in the module that is this package now, and the modules that hold them."""


def __getattr__(name: str) -> object:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from swift_core.moved import from_place

    return from_place(__name__, _MOVED[name], name)
