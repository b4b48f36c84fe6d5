"""Prints the table of benchmarks. In its environment: `ENV/bin/python names.py > benchmarks.tsv`.

`swift_plugin_serving.cpu_torchvision.AT_IMPORT` has to run before, where torch is a build for CPUs and torchvision is
not.
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
        from vlmeval.dataset.video_dataset_config import supported_video_datasets

        rows = {name: (DATASET_MODALITY(name).lower(), DATASET_TYPE(name)) for name in SUPPORTED_DATASETS}
        rows |= {
            name: ("video", getattr(made.func, "TYPE", "several")) for name, made in supported_video_datasets.items()
        }
    print("name", "modality", "title", sep="\t")
    for name in sorted(rows, key=lambda name: (name.lower(), name)):
        print(name, *rows[name], sep="\t")


if __name__ == "__main__":
    main()
