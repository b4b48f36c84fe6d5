"""The catalogues of templates and data sets: every file's names are entry points."""

import importlib.util
import tomllib
from pathlib import Path

import pytest

from swift_core.catalogue.entries import Catalogue

TOOL = Path(__file__).parent.parent / "tools" / "register.py"


@pytest.fixture(scope="module")
def register():
    spec = importlib.util.spec_from_file_location("register", TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", ["templates", "datasets"])
def test_every_name_and_alias_is_registered(register, kind):
    project = register.project(kind).read_text(encoding="utf-8")
    assert register.registered(kind) == project, "Run `python tools/register.py`."
    entries = tomllib.loads(project)["project"]["entry-points"][f"swift_core.{kind}"]
    installed = {e.name: e.target for e in Catalogue.installed().of_kind(kind)}
    assert entries.items() <= installed.items()
    assert {n: t.partition(":")[2] for n, t in entries.items()} == register.names(kind)
