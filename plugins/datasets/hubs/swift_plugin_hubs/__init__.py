"""Rows from the two hubs. ModelScope's data files are fetched by its own client and read by `datasets`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Dataset
from swift_core.contract.source import PACKED
from swift_core.data.readers import READERS
from swift_core.data.values import without_nulls


@dataclass(kw_only=True, eq=False)
class HuggingFace(Dataset):
    """Data sets on Hugging Face, or a local folder laid out like one."""

    swift_api = 1

    @hookimpl
    def load_rows(self, source: Any) -> Iterable[dict[str, Any]] | None:
        return None if source.hub != "huggingface" else _rows(source, source.id)


@dataclass(kw_only=True, eq=False)
class ModelScope(Dataset):
    """Data sets on ModelScope, or a local folder laid out like one."""

    swift_api = 1

    @hookimpl
    def load_rows(self, source: Any) -> Iterable[dict[str, Any]] | None:
        return None if source.hub != "modelscope" else _rows(source, _fetch(source))


def _rows(source: Any, place: str) -> Iterator[dict[str, Any]]:
    """Rows of a hub id, or of a folder laid out like a hub repository: of one subset after the other."""
    for subset in source.subset.split("+"):
        yield from _rows_of(source, place, subset)


def _rows_of(source: Any, place: str, subset: str) -> Iterator[dict[str, Any]]:
    import datasets

    try:
        data = datasets.load_dataset(place, None if subset == "default" else subset, split=source.split)
    except Exception as error:  # the client raises everything from OSError to ValueError
        cause = str(error).strip().split("\n")[0]
        raise SwiftError(
            f"The data set {source.text!r} could not be read: {type(error).__name__}: {cause}. "
            "Check id, subset and split, and the network; or give a local file."
        ) from error
    number, where = -1, source.id + f":{subset}" * (subset != source.subset)
    try:
        for number, row in enumerate(_undecoded(data)):
            yield {**without_nulls(row), "_where": f"{where}, row {number}"}
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        cause = str(error).strip().split("\n")[0][:200]
        raise SwiftError(f"{where}, row {number + 1}: it cannot be read ({type(error).__name__}: {cause}).") from error


def _undecoded(data: Any) -> Any:
    """The data set with media as their bytes and paths: they are opened when a row's turn comes, one by one."""
    for name, feature in data.features.items():
        inner: Any = getattr(feature, "feature", None)
        if getattr(feature, "decode", False):
            data = data.cast_column(name, dataclasses.replace(feature, decode=False))
        elif getattr(inner, "decode", False):
            plain = type(feature)(dataclasses.replace(inner, decode=False))
            data = data.cast_column(name, plain)
    return data


def _fetch(source: Any) -> str:
    """The folder of a ModelScope data set, fetched if it is not a local one."""
    if Path(source.id).is_dir():
        return str(source.id)
    from modelscope import dataset_snapshot_download

    patterns = [f"*{suffix}{packed}" for suffix in READERS for packed in ("", *PACKED)] + ["README.md"]
    try:
        return str(Path(dataset_snapshot_download(source.id, allow_file_pattern=patterns)))
    except Exception as error:  # see above
        cause = str(error).strip().split("\n")[0]
        raise SwiftError(
            f"The data set {source.text!r} could not be fetched from ModelScope: {type(error).__name__}: {cause}. "
            "Check the id and the network, try HF::" + source.id + ", or give a local file."
        ) from error
