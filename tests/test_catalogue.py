"""The catalogue: what is installed, found by name; the static index; what the repository's plugins promise."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from swift_testing.contracts import HEAVY
from tools_of import tool

from swift_core.catalogue.entries import Catalogue, Entry, ships_in
from swift_core.contract.errors import SwiftError
from swift_core.contract.kinds import KINDS, find_kind
from swift_core.job.options import fields_of
from swift_core.job.specs import JOBS

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.installed()


def test_a_component_is_found_by_its_name(catalogue: Catalogue) -> None:
    entry = catalogue.find("tuner", "lora")
    assert (entry.kind, entry.name, entry.package) == ("tuner", "lora", "swift-plugin-lora")
    assert entry.version == metadata.version("swift-plugin-lora")


@pytest.mark.parametrize("name", ["merge-lora", "merge_lora", "Merge_LoRA", "merge-lora@swift-plugin-merge-lora"])
def test_dashes_underscores_and_case_do_not_matter(catalogue: Catalogue, name: str) -> None:
    assert catalogue.find("exporter", name).name == "merge-lora"


def test_two_names_of_one_component_that_are_alike_are_no_conflict() -> None:
    entries = [Entry("dataset", name, "acme", "1", "", "acme:pairs") for name in ("my-pairs", "my_pairs")]
    assert Catalogue(entries).find("dataset", "My-pairs").target == "acme:pairs"


def test_an_unknown_name_gets_the_nearest_and_the_known(catalogue: Catalogue) -> None:
    with pytest.raises(SwiftError, match=r"no tuner 'lorra' installed\. Did you mean 'lora'\?"):
        catalogue.find("tuner", "lorra")


def test_what_is_not_installed_but_known_is_named_with_its_package() -> None:
    with pytest.raises(SwiftError, match="ships in swift-plugin-lora: pip install swift-plugin-lora"):
        Catalogue([]).find("tuner", "lora")


def test_two_packages_with_one_name_must_be_told_apart() -> None:
    both = Catalogue([Entry("tuner", "lora", p, "1", "", "x:y") for p in ("acme-lora", "swift-plugin-lora")])
    with pytest.raises(SwiftError, match="lora@acme-lora or lora@swift-plugin-lora"):
        both.find("tuner", "lora")
    assert both.find("tuner", "lora@acme-lora").package == "acme-lora"
    assert [pair[0].package for pair in both.duplicates()] == ["acme-lora"]


@pytest.mark.parametrize("word", ["loss_scale", "loss-scale", "loss_scales", "loss-scales"])
def test_a_kind_is_known_by_all_its_words(word: str) -> None:
    assert find_kind(word).name == "loss_scale"


def test_the_static_index_agrees_with_every_plugin() -> None:
    known = tool("known")
    assert known.TARGET.read_text(encoding="utf-8").splitlines() == known.rows(), "run: make generated"
    assert ships_in("model", "qwen2_vl") == "swift-plugin-qwen2vl"
    assert known.MODELS.read_text(encoding="utf-8").splitlines() == known.model_rows(), "run: make generated"
    assert ships_in("checkpoint", "qwen/qwen2-vl-2b-instruct") == "swift-plugin-qwen2vl"
    assert ships_in("architecture", "LlamaForCausalLM") == ships_in("config_type", "llama") == "swift-plugin-llama"
    assert ships_in("command", "demo") == "swift-plugin-demo"


def test_every_plugin_of_the_repository_is_installed(catalogue: Catalogue) -> None:
    rows = [tuple(row.split("\t")) for row in tool("known").rows()]
    missing = set(rows) - {(e.kind, e.name, e.package) for e in catalogue.entries}
    assert not missing, "run: make setup"


def test_every_hook_belongs_to_a_kind() -> None:
    from swift_core.contract.signatures import hook_specs

    used = [hook for kind in KINDS.values() for hook in kind.hooks]
    assert set(used) == set(hook_specs())


def test_no_plugin_imports_a_heavy_library_when_it_is_listed(catalogue: Catalogue) -> None:
    modules = sorted({e.target.partition(":")[0] for e in catalogue.entries})
    code = (
        "import importlib, sys\n"
        f"for name in {modules!r}:\n"
        "    importlib.import_module(name)\n"
        f"    heavy = [h for h in {HEAVY!r} if h in sys.modules]\n"
        "    if heavy: sys.exit(f'{name} imports {heavy}: import them inside the hooks that use them')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# -- one install gives a working job ----------------------------------------------------------------------
def closure(package: str) -> set[str]:
    """The distributions of this repository that installing `package` brings, itself among them."""
    tables = [tomllib.loads(f.read_text(encoding="utf-8"))["project"] for f in tool("known").plugin_files()]
    needs = {t["name"]: [re.split(r"[\s\[<>=!~;]", d)[0] for d in t["dependencies"]] for t in tables}
    found, waiting = set(), [package]
    while waiting:
        name = waiting.pop()
        if name in needs and name not in found:
            found.add(name)
            waiting += needs[name]
    return found


def defaults() -> list[tuple[str, str, str]]:
    """(job, kind, name) of every component that a job uses when nobody says otherwise."""
    found = []
    for job in JOBS.values():
        for field in fields_of(job.options_class()).values():
            factory = field.default_factory
            value = field.default if factory is dataclasses.MISSING else factory()
            value = job.defaults.get(field.name, value)
            names = value if isinstance(value, list) else [value]
            found += [(job.name, field.metadata["kind"], n) for n in names if n and field.metadata.get("kind")]
    return found


def test_the_essentials_bring_every_default_component() -> None:
    brought = closure("swift-plugin-essentials")
    lacking = {(job, kind, name): ships_in(kind, name) for job, kind, name in defaults()}
    assert not {k: v for k, v in lacking.items() if v not in brought}


def test_a_model_plugin_brings_all_that_its_card_names(catalogue: Catalogue) -> None:
    for entry in catalogue.of_kind("model"):
        card = entry.load()
        named = [("template", t) for t in card.checkpoints] + [("patcher", p) for p in card.patchers]
        needed = {ships_in(kind, name) for kind, name in [*named, ("bbox", card.bbox)]}
        lacking = {"swift-plugin-essentials", *needed} - closure(entry.package)
        assert not lacking, f"{entry.package} needs {lacking} among its dependencies"


def test_a_component_made_for_another_runtime_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from swift_plugin_runtime.options import TrainingOptions

    class Future(TrainingOptions):
        """A trainer of tomorrow."""

        swift_api = 1
        runtime_api = 2

    monkeypatch.setitem(sys.modules, "future", SimpleNamespace(Future=Future))
    entry = Entry("trainer", "future", "swift-plugin-future", "9.0", "", "future:Future")
    with pytest.raises(SwiftError, match="runtime_api 2, and the installed swift_plugin_runtime speaks 1"):
        entry.load()
    Future.runtime_api = 1
    assert entry.load() is Future


def test_what_changed_is_tested_with_what_builds_on_it() -> None:
    changed = tool("changed")
    assert changed.targets(ROOT, ["swift_core/job/job.py"]) == changed.ALL
    assert changed.targets(ROOT, ["plugins/models/qwen2/swift_plugin_qwen2/__init__.py"]) == [
        "tests",
        "plugins/models/qwen2/tests",
    ]
    assert changed.targets(ROOT, ["docs/a.md"]) == ["tests/test_docs.py"]
    assert changed.targets(ROOT, ["tests/test_cli.py"]) == ["tests/test_cli.py"]


@pytest.mark.parametrize(
    "spoil", [lambda d: d[: len(d) // 2], lambda d: d[:-100], lambda d: d.replace(b"lora", b"lorA")]
)
def test_a_damaged_memory_of_what_is_installed_is_read_anew(tmp_path, monkeypatch, spoil):
    from swift_core.catalogue import metadata_cache

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(metadata_cache, "SETTLED", -1e9)
    whole = Catalogue.installed().entries
    (file,) = (tmp_path / "swift-core").glob("installed-*")
    assert metadata_cache.read("installed")[0]
    file.write_bytes(spoil(file.read_bytes()))
    assert metadata_cache.read("installed") == ("", [])
    assert Catalogue.installed().entries == whole


@pytest.mark.parametrize("kind", ["templates", "datasets", "recipes"])
def test_every_name_and_alias_of_a_catalogue_is_registered(kind: str, catalogue: Catalogue) -> None:
    register = tool("register")
    project = register.project(kind).read_text(encoding="utf-8")
    assert register.registered(kind) == project, "Run `python tools/register.py`."
    entries = tomllib.loads(project)["project"]["entry-points"][f"swift_core.{kind}"]
    installed = {e.name: e.target for e in catalogue.of_kind(kind)}
    assert entries.items() <= installed.items()
    assert {n: t.partition(":")[2] for n, t in entries.items()} == register.names(kind)
