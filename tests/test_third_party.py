"""A third party's day: wheels, a fresh environment outside the repository, a plugin of one's own, and faults."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

from fresh_venv import ROOT, Venv, uv
from safetensors import safe_open
from swift_testing.contracts import CHAT, tiny_model, write_rows


def projects() -> dict[str, tuple[Path, dict]]:
    """Every distribution of this repository: name → (folder, its pyproject's project table)."""
    files = [ROOT / "pyproject.toml", *ROOT.glob("*_catalog/pyproject.toml")]
    files += [*ROOT.glob("plugins/*/*/pyproject.toml"), *ROOT.glob("contrib_models/*/pyproject.toml")]
    tables = [(f.parent, tomllib.loads(f.read_text(encoding="utf-8"))["project"]) for f in files]
    return {table["name"]: (folder, table) for folder, table in tables}


def needed_by(*names: str) -> list[Path]:
    """Folders of the named distributions and of all that they need from this repository."""
    known, found = projects(), {}
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in known and name not in found:
            folder, table = known[name]
            found[name] = folder
            waiting += [re.split(r"[\s\[<>=!~;]", need)[0] for need in table["dependencies"]]
    return list(found.values())


def build_wheels(folder: Path) -> Path:
    """Wheels of what a user of Qwen2-VL installs, and of the families that contract tests use."""
    for source in needed_by("swift-plugin-qwen2vl", "swift-testing"):
        uv("build", "--quiet", "--wheel", "--no-create-gitignore", "--out-dir", str(folder), str(source))
    return folder


def test_a_third_partys_day(tmp_path: Path) -> None:
    wheels = build_wheels(tmp_path / "wheels")
    venv = Venv(tmp_path / "venv", with_ours=False)
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--find-links", wheels]
    rows, model = write_rows(tmp_path, CHAT), tiny_model("qwen2_vl")

    def swift(*words: object) -> str:
        return venv.run("swift", *words, cwd=tmp_path).stdout

    # one line installs a model and all that a job with it needs
    venv.run(*install, "swift-core", "swift-plugin-qwen2vl")
    listed = json.loads(swift("list", "--json"))
    assert {"qwen2_vl", "sft", "lora", "transformers"} <= {c["name"] for c in listed}
    assert not any("llama" in c["package"] for c in listed)  # nothing of this checkout shines through
    swift("sft", "--model", model, "--dataset", rows, "--max_steps", 2, "--output_dir", "first")
    assert (tmp_path / "first" / "checkpoint-2" / "adapter_model.safetensors").is_file()

    # a tuner of one's own: written, edited, installed, listed
    swift("new", "tuner", "mine")
    plugin = tmp_path / "swift-plugin-mine"
    for file in (plugin / "swift_plugin_mine" / "__init__.py", plugin / "tests" / "test_mine.py"):
        edited = file.read_text().replace(r"(bias|norm\.weight)$", r"norm\.weight$")
        assert edited != file.read_text()
        file.write_text(edited)
    venv.run(*install, "--no-build-isolation", "-e", f"{plugin}[test]")
    (mine,) = [c for c in json.loads(swift("list", "tuners", "--json")) if c["name"] == "mine"]
    assert (mine["package"], mine["version"]) == ("swift-plugin-mine", "0.1.0")

    # proven, and used
    assert re.search(r"swift-plugin-mine 0\.1\.0: all \d+ checks passed", swift("check", "swift-plugin-mine"))
    options = ["--tuner", "mine", "--max_steps", 2, "--output_dir", "second"]
    swift("sft", "--model", model, "--dataset", rows, *options)
    with safe_open(tmp_path / "second" / "checkpoint-2" / "mine.safetensors", "np") as saved:
        assert saved.keys() and all(name.endswith("norm.weight") for name in saved.keys())  # noqa: SIM118
