"""A job: options, the components that they select, and the plugin manager that calls them."""

_MOVED = {"Job": "swift_core.contract.job"}
"""Names that stood in the module that is this package now, and the modules that hold them."""


def __getattr__(name: str) -> object:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from swift_core.moved import from_place

    return from_place(__name__, _MOVED[name], name)
