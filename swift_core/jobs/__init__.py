"""Jobs: pieces of work as lists of hook calls. No other package imports these scripts; `steps` is for plugins too."""

_MOVED = dict.fromkeys(("JOBS", "JobSpec", "find_job"), "swift_core.job.specs")
"""Names that stood in the module that is this package now, and the modules that hold them."""


def __getattr__(name: str) -> object:
    if name not in _MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from swift_core.moved import from_place

    return from_place(__name__, _MOVED[name], name)
