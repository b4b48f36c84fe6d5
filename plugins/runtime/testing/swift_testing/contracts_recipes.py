"""The contract of a recipe."""

from __future__ import annotations

from pathlib import Path

from swift_testing.contracts import ComponentContract
from swift_testing.recipes import check_recipe, run_tiny


class RecipeContract(ComponentContract):
    """A recipe: its options, its checkpoint and its data are known, and it runs with a tiny model of the family."""

    kind = "recipe"

    runs = True
    """Whether it is run; False for one that needs what a tiny run cannot stand in for, such as a server elsewhere."""

    def test_prepares(self) -> None:
        """Every option, component, checkpoint and data set is known, and its command is the same job; no network."""
        check_recipe(self.component)

    def test_runs_with_a_tiny_model(self, tmp_path: Path) -> None:
        """Two steps with a tiny model of its family and its data's example rows."""
        if self.runs:
            run_tiny(self.component, tmp_path)
