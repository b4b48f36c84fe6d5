"""Every template of the catalogue keeps the template contract, and every file of it is registered."""

from importlib import resources

import pytest

from swift_core.catalogue import Catalogue
from swift_core.testing import TemplateContract

NAMES = sorted(e.name for e in Catalogue.installed().of_kind("template") if e.package == "swift-templates-catalog")


@pytest.mark.parametrize("template_name", NAMES)
class TestTemplates(TemplateContract):
    @pytest.fixture(autouse=True)
    def _choose(self, template_name: str) -> None:
        self.name = template_name


def test_every_file_has_an_entry_point() -> None:
    folder = resources.files("swift_templates_catalog").joinpath("templates")
    assert sorted(file.name.removesuffix(".toml") for file in folder.iterdir()) == NAMES
