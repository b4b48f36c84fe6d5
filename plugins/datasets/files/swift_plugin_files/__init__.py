"""Rows from local files, or from a folder of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from swift_core import hookimpl
from swift_core.contract.components import Dataset
from swift_core.data.readers import read_file


@dataclass(kw_only=True, eq=False)
class Local(Dataset):
    """Local JSONL, JSON, CSV, TSV, Parquet and text files, also compressed, or a folder of them."""

    swift_api = 1

    @hookimpl
    def load_rows(self, source: Any) -> Iterable[dict[str, Any]] | None:
        return read_file(source.id) if source.hub == "local" else None
