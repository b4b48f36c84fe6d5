"""What the benchmarks of other projects need that are run through EvalScope, each in an environment of its own."""

from __future__ import annotations

from swift_core.contract.components import Requirements


def through_evalscope(package: str) -> Requirements:
    """An environment of EvalScope with a package of benchmarks, and what both work with.

    They pin numpy below 2, which newer pyarrow and pandas refuse, and use names that newer setuptools and transformers
    have no more.
    """
    pins = ("numpy==1.26.4", "datasets==4.8.4", "pyarrow<22", "pandas<3", "setuptools<81", "transformers<5")
    return Requirements(
        ("evalscope==1.14.1", package, *pins, "torch==2.13.0"),
        size="about 2 GB, or 6 GB where torch is built for CUDA",
    )
