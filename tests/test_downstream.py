"""Plugins of third parties go on working: their own tests pass, and a user trains with all of them."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest
from fresh_venv import ROOT, Venv, run, uv
from safetensors import safe_open
from swift_testing import warm
from swift_testing.contracts import tiny_model

PLUGINS = sorted(p.parent for p in (ROOT / "tests" / "downstream").glob("*/pyproject.toml"))


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`swift` and `pytest` of an environment with all three, each as its own wheel would be."""
    folder = tmp_path_factory.mktemp("downstream")
    venv = Venv(folder / "venv", with_ours=True)
    wheels = folder / "wheels"
    for plugin in PLUGINS:
        uv("build", "--quiet", "--wheel", "--no-create-gitignore", "--out-dir", str(wheels), str(plugin))
    uv("pip", "install", "--quiet", "--no-deps", "--python", str(venv.python), *map(str, wheels.glob("*.whl")))
    return warm.path(folder / "bin", venv.folder)


def test_there_are_three() -> None:
    assert [p.name for p in PLUGINS] == ["swift-plugin-gains", "swift-plugin-magpie", "swift-plugin-quiz"]


@pytest.mark.parametrize("name", ["magpie", "quiz", "gains"])
def test_their_own_tests_pass(name: str, programs: Path) -> None:
    """The model's and the tuner's whole contracts take a minute: `make test-downstream`."""
    if name != "quiz" and "SWIFT_TEST_DOWNSTREAM" not in os.environ:
        pytest.skip("a whole contract: make test-downstream")
    words = ["--import-mode=importlib", "-p", "no:cacheprovider", "-W", "ignore"]
    tests = ROOT / "tests" / "downstream" / f"swift-plugin-{name}" / "tests"
    done = run([str(programs / "pytest"), *words, str(tests)])
    assert re.search(r"\d+ passed", done.stdout), done.stdout


def test_a_user_trains_with_all_of_them(programs: Path, tmp_path: Path) -> None:
    """A quiz file, Magpie's format on a checkpoint of its layers, and gains: trained, saved, asked, merged."""
    (tmp_path / "quiz.txt").write_text("One and one? Two.\nTwo and two? Four.\n", encoding="utf-8")
    model = tmp_path / "tiny-magpie"
    shutil.copytree(tiny_model("llama"), model)

    def swift(*words: str) -> str:
        done = run([str(programs / "swift"), *words], cwd=tmp_path)
        return done.stdout + done.stderr

    job = ["--model", str(model), "--dataset", "quiz::quiz.txt", "--tuner", "gains", "--learning_rate", "0.01"]
    explained = swift("explain", "sft", *job)
    assert "model magpie: swift-plugin-magpie 1.0" in explained and "template magpie" in explained
    swift("sft", *job, "--max_steps", "2", "--output_dir", "out")
    with safe_open(tmp_path / "out" / "checkpoint-2" / "gains.safetensors", "np") as saved:
        names = list(saved.keys())
        assert names and all(re.search(r"(down_proj|o_proj)$", name) for name in names)
        assert any(saved.get_tensor(name).any() for name in names)
    swift("infer", "--ckpt_dir", "out/checkpoint-2", "--dataset", "quiz::quiz.txt", "--max_new_tokens", "3")
    swift("merge-lora", "--ckpt_dir", "out/checkpoint-2", "--output_dir", "merged")
    assert (tmp_path / "merged" / "model.safetensors").is_file()
