"""Prints the table of benchmarks. In its environment: `ENV/bin/python names.py > benchmarks.tsv`."""

from __future__ import annotations

import os
from typing import Any


def data_of(configs: list[dict[str, Any]]) -> list[str]:
    """Where the parts of a benchmark have their data, beneath the folder COMPASS_DATA_CACHE."""
    from opencompass.utils.datasets_info import DATASETS_MAPPING

    found = []
    for path in (config.get("path") for config in configs):
        local = DATASETS_MAPPING.get(path, {}).get("local", path if isinstance(path, str) and "data/" in path else None)
        if isinstance(local, str):
            found.append(os.path.normpath(local))
    return sorted(dict.fromkeys(found))


def main() -> None:
    """Name, modality, title, data, one benchmark a line."""
    from evalscope.backend.opencompass import OpenCompassBackendManager

    _, configs = OpenCompassBackendManager.list_datasets(return_details=True)
    parts: dict[str, list[dict[str, Any]]] = {}
    for config in configs:
        parts.setdefault(config["dataset_name"], []).append(config)
    print("name", "modality", "title", "data", sep="\t")
    for name in sorted(parts, key=str.lower):
        title = getattr(parts[name][0]["type"], "__name__", str(parts[name][0]["type"]).rpartition(".")[2])
        print(name, "text", title.partition("Dataset")[0].rstrip("_"), " ".join(data_of(parts[name])), sep="\t")


if __name__ == "__main__":
    main()
