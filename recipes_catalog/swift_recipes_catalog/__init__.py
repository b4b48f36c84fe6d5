"""Recipes as data: `swift_recipes_catalog.NAME` is the recipe of NAME.yaml."""

from __future__ import annotations

from importlib import resources

from swift_core.contract.recipes import Recipe
from swift_core.job.recipes import read_recipe


def __getattr__(name: str) -> Recipe:
    file = resources.files(__name__).joinpath("recipes", f"{name}.yaml")
    if name.startswith("__") or not file.is_file():
        raise AttributeError(f"the catalogue has no recipe {name!r}")
    return read_recipe(file.read_text(encoding="utf-8"), name.replace("_", "-"), str(file))
