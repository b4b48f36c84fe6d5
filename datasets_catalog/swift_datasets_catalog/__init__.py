"""Published data sets as data: `swift_datasets_catalog.NAME` is the card of NAME.toml."""

from __future__ import annotations

from importlib import resources

from swift_core.data.published import Published, read_published


def __getattr__(name: str) -> Published:
    file = resources.files(__name__).joinpath("datasets", f"{name}.toml")
    if name.startswith("__") or not file.is_file():
        raise AttributeError(f"the catalogue has no data set {name!r}")
    return read_published(file.read_text(encoding="utf-8"), name, str(file))
