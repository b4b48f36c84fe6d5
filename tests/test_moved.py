"""Old import paths work for one minor version, and say what to write instead."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from swift_core import moved


@pytest.mark.parametrize(
    ("old", "name", "new"),
    [
        ("swift_core.errors", "SwiftError", "swift_core.contract.errors"),
        ("swift_core.engine", "Request", "swift_core.contract.engine"),
        ("swift_core.engine", "ask", "swift_core.inference.conversation"),
        ("swift_core.models", "Family", "swift_core.contract.cards"),
        ("swift_core.models.index", "read_json", "swift_core.job.lockfile"),
        ("swift_core.catalogue", "Catalogue", "swift_core.catalogue.entries"),
        ("swift_core.testing", "TunerContract", "swift_testing"),
        ("swift_core.testing.tiny", "tiny_qwen2", "swift_testing.tiny"),
        ("swift_core.server", "bind", "swift_plugin_serving.server"),
        ("swift_plugin_runtime.peft_tuner", "PeftTuner", "swift_plugin_runtime.tuning.peft_tuner"),
        ("swift_plugin_runtime.training", "build_token_trainer", "swift_plugin_runtime.training.trainer"),
    ],
)
def test_an_old_path_gives_the_same_object_and_a_warning(old: str, name: str, new: str) -> None:
    with pytest.warns(DeprecationWarning, match=f"{old} is {new} now"):
        found = getattr(importlib.import_module(old), name)
    assert found is getattr(importlib.import_module(new), name)


@pytest.mark.parametrize("name", ["swift_core.nothing", "swift_core.errors.nothing", "swift_plugin_runtime.nothing"])
def test_what_never_was_is_not_found(name: str) -> None:
    with pytest.raises(ImportError):
        importlib.import_module(name)


def test_every_place_of_the_table_exists() -> None:
    for places in moved.MOVED.values():
        for place in places:
            importlib.import_module(place)


@pytest.mark.parametrize("first", ["training.masters", "alignment.reference"])
def test_a_module_of_a_room_is_no_old_name(first: str) -> None:
    """`from swift_plugin_runtime.training import sharding` gives the module, whichever module is imported first."""
    code = f"import swift_plugin_runtime.{first}; from swift_plugin_runtime.training import sharding; print(sharding)"
    words = [sys.executable, "-W", "error::DeprecationWarning:swift_plugin_runtime", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert "swift_plugin_runtime.training.sharding" in done.stdout, done.stderr[-2000:]
