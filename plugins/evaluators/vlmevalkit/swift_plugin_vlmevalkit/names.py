"""Prints the table of benchmarks. In its environment: `ENV/bin/python names.py > benchmarks.tsv`.

`swift_plugin_vlmevalkit.programs.SHIM` has to run before, where torch is a build for CPUs and torchvision is not.
"""

from __future__ import annotations

import contextlib
import io
import warnings


def main() -> None:
    """Name, modality, title (the kind of question), one benchmark a line."""
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vlmeval.dataset import DATASET_MODALITY, DATASET_TYPE, SUPPORTED_DATASETS

        names = sorted(set(SUPPORTED_DATASETS), key=lambda name: (name.lower(), name))
        rows = [(name, DATASET_MODALITY(name).lower(), DATASET_TYPE(name)) for name in names]
    print("name", "modality", "title", sep="\t")
    for row in rows:
        print(*row, sep="\t")


if __name__ == "__main__":
    main()
