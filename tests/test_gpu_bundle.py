"""The bundle for a machine with one GPU: what goes into it, and how its script runs stages and tells of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest
from fresh_venv import uv

from benchmarks.gpu.bundle import OURS, needs, trim
from benchmarks.gpu.run import STAGES, TOTAL, Stage, run, table, unpack, write

ROOT = Path(__file__).parent.parent


def stage(tmp_path, code, limit=30.0):
    return run("one", [sys.executable, "-ISc", code], limit, tmp_path / "one.log")


def test_a_stage_tells_its_figures_or_why_it_has_none(tmp_path):
    figures = json.dumps({"tokens_per_second": 12.4, "first_loss": 2, "last_loss": 1})
    well = stage(tmp_path, f"print('words'); print({figures!r})")
    assert well.result == "ok" and well.figures["tokens_per_second"] == 12.4
    torn = stage(tmp_path, "print('setting up'); raise MemoryError('CUDA out | of memory')")
    assert torn.result.startswith("failed: MemoryError: CUDA out | of memory (exit code 1, ")
    killed = stage(tmp_path, "import os; os.kill(os.getpid(), 9)")
    assert killed.result.startswith("failed: it said nothing (exit code -9")
    assert stage(tmp_path, "import time; time.sleep(60)", 1).result == "stopped: over its 1 s"
    assert stage(tmp_path, "", 0.5).result == "not run: no time is left"
    lines = table([well, torn]).splitlines()
    assert lines[2] == "| one | 0 | 12 |  |  |  | 2.00 → 1.00 | ok |"
    assert "CUDA out / of memory" in lines[3] and len({line.count("|") for line in lines}) == 1


def test_results_are_written_as_json_and_markdown(tmp_path):
    on = {"date": "2026-01-02", "gpu": "none", "cores": 2, "python": "3.12.3", "versions": {"torch": "2.11.0"}}
    said = write(tmp_path, on, [Stage("tests", 3.2, "9 passed")])
    assert (tmp_path / "results.md").read_text() == said and "| tests | 3 |  |  |  |  |  | 9 passed |" in said
    assert json.loads((tmp_path / "results.json").read_text())["stages"][0]["result"] == "9 passed"
    assert TOTAL < 8 * 60 and "material" in STAGES


def test_what_the_machine_has_stays_unless_it_is_older(tmp_path):
    for name in ("pytest-0.1", "pluggy-99.0", "quite_unknown-1.0"):
        with zipfile.ZipFile(tmp_path / f"{name}-py3-none-any.whl", "w") as wheel:
            wheel.writestr(f"{name}.txt", "")
    assert unpack(tmp_path, tmp_path / "site") == ["pytest"]
    assert {file.name for file in (tmp_path / "site").iterdir()} == {"pluggy-99.0.txt", "quite_unknown-1.0.txt"}


def test_a_trimmed_wheel_lists_what_it_holds(tmp_path):
    wheel = tmp_path / "big-1.0-py3-none-any.whl"
    files = {"big/__init__.py": "", "big/lib_rocm70.so": "x" * 99, "big/tests/one.py": ""}
    listed = "".join(f"{name},,\n" for name in [*files, "big-1.0.dist-info/RECORD"])
    asked = "Name: big\nRequires-Dist: modelscope>=1.30\nRequires-Dist: torch\n"
    with zipfile.ZipFile(wheel, "w") as new:
        for name, text in {**files, "big-1.0.dist-info/METADATA": asked, "big-1.0.dist-info/RECORD": listed}.items():
            new.writestr(name, text)
    trim(wheel, ("_rocm", "/tests/"), {"modelscope"})
    with zipfile.ZipFile(wheel) as trimmed:
        assert trimmed.namelist() == ["big/__init__.py", "big-1.0.dist-info/METADATA", "big-1.0.dist-info/RECORD"]
        assert trimmed.read("big-1.0.dist-info/RECORD").decode() == "big/__init__.py,,\nbig-1.0.dist-info/RECORD,,\n"
        assert trimmed.read("big-1.0.dist-info/METADATA").decode() == "Name: big\nRequires-Dist: torch\n"


def test_ours_bring_what_they_ask_for():
    folders, others = needs(OURS)
    names = {folder.name for folder in folders}
    assert {"runtime", "lora", "full", "sft", "dpo", "bnb", "liger", "testing", "templates_catalog"} <= names
    assert ROOT in folders and {"bitsandbytes>=0.48", "peft>=0.21"} <= set(others)


@pytest.mark.skipif(os.environ.get("SWIFT_TEST_GPU_BUNDLE") != "1", reason="make test-gpu-bundle")
def test_the_script_runs_from_a_bundle_in_a_bare_environment(tmp_path):
    """As on the machine, for this Python, on the CPU: the environment has torch, transformers, accelerate alone."""
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    torch = version("torch").partition("+")[0]
    asked = ["--python", python, "--torch", torch, "--out", str(tmp_path / "gpu-bundle")]
    subprocess.run([sys.executable, "-m", "benchmarks.gpu.bundle", *asked], cwd=ROOT, check=True)
    uv("venv", "--quiet", "--python", sys.executable, str(tmp_path / "bare"))
    bare = tmp_path / "bare" / "bin" / "python"
    uv("pip", "install", "--quiet", "--python", str(bare), f"torch=={torch}", "transformers==5.17.0", "accelerate")
    with tarfile.open(tmp_path / "gpu-bundle.tar") as packed:
        packed.extractall(tmp_path / "machine", filter="data")
    script = tmp_path / "machine" / "gpu-bundle" / "checkout" / "benchmarks" / "gpu" / "run.py"
    command = [str(bare), "-I", str(script), "--device", "cpu", "--small", "--seconds", "3000", "--out", "results"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = {s["name"]: s["result"] for s in json.loads((tmp_path / "results" / "results.json").read_text())["stages"]}
    assert list(done) == list(STAGES)
    assert " failed" not in done.pop("tests") and " 48 rows" in done.pop("material")
    assert "written in Triton and need a GPU" in done.pop("lora, swift, liger")
    assert {done.pop(name) for name in list(done) if "flash" in name} == {"not run: flash_attn is not installed"}
    assert set(done.values()) == {"ok"}
