"""What a component can and cannot do, said before anything is loaded.

A component's `capabilities` maps a feature name (`packing`, `quantized`, `deepspeed`, `vllm` …) to one of
the three answers below. A job asks with `refuse_unsupported` before it loads a model, so an impossible
combination fails in a second, with the reason.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Supported:
    """The feature works; `note` may say how it was proven."""

    note: str = ""


@dataclass(frozen=True)
class Unsupported:
    """The feature cannot work; `reason` completes the sentence "… is not supported because"."""

    reason: str


@dataclass(frozen=True)
class Experimental:
    """The feature may work; `note` says what is not proven."""

    note: str


Capability = Supported | Unsupported | Experimental


def describe(capability: Capability) -> str:
    """One line for `swift show`: the answer, then its note or reason."""
    text = capability.reason if isinstance(capability, Unsupported) else capability.note
    return f"{type(capability).__name__.lower()}: {text}" if text else type(capability).__name__.lower()
