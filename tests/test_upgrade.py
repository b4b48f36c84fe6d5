"""What the last release wrote is read by this code: checkpoints, job files, lock files.

`tests/upgrade/RELEASE` holds it: a job file and the adapter checkpoint that it made of a tiny model. The model itself
is built anew from its seed, and must be the same. `SWIFT_WRITE_UPGRADE=RELEASE pytest tests/test_upgrade.py` writes the
folder of a new release; the older ones stay, as long as they shall be read.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from fresh_venv import ROOT
from safetensors.numpy import load_file

from swift_core import run
from swift_core.cli.work import prepared

STORED = ROOT / "tests" / "upgrade"
RELEASES = sorted(p.name for p in STORED.glob("*") if p.is_dir())
STEPS = 4
JOB = """# A LoRA on a tiny model.
model: tiny
dataset: [rows.jsonl]
template: chatml
tuner: lora
lora: {rank: 4, alpha: 8}  # by component
target_modules: [q_proj, v_proj]
per_device_train_batch_size: 2
learning_rate: 0.01
max_steps: 4
save_steps: 2
output_dir: out
"""
ROWS = [
    {"query": "one", "response": "two"},
    {"query": "two", "response": "three"},
    {"messages": [{"role": "user", "content": "three"}, {"role": "assistant", "content": "four"}]},
    {"instruction": "four", "input": "", "output": "five"},
]
QUESTION = {"query": "one"}


def tiny(folder: Path) -> str:
    """The model, and the mark of its weights."""
    from swift_testing.tiny import tiny_qwen2

    tiny_qwen2(folder, hidden_size=16, intermediate_size=32)
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def answers() -> list[str]:
    """What the checkpoint answers, greedily."""
    Path("asked.jsonl").write_text(json.dumps(QUESTION) + "\n", encoding="utf-8")
    words = ["--ckpt_dir", "out/checkpoint-2", "--dataset", "asked.jsonl", "--max_new_tokens", "8"]
    job = prepared("infer", [*words, "--result_path", "result.jsonl", "--device", "cpu"])
    job.spec.runner()(job)
    lines = Path("result.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["response"] for line in lines]


def train(*more: str) -> None:
    job = prepared("sft", ["--config", "job.yaml", "--device", "cpu", *more])
    job.spec.runner()(job)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.skipif("SWIFT_WRITE_UPGRADE" not in os.environ, reason="writes the files of a release")
def test_write_the_files_of_this_release(folder: Path) -> None:
    release = STORED / os.environ["SWIFT_WRITE_UPGRADE"]
    mark = tiny(folder / "tiny")
    (folder / "job.yaml").write_text(JOB, encoding="utf-8")
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    train()
    shutil.copytree(folder / "out" / "checkpoint-2", release / "checkpoint-2")
    for name in ("job.yaml", "rows.jsonl"):
        shutil.copy(name, release / name)
    final = load_file(folder / "out" / f"checkpoint-{STEPS}" / "adapter_model.safetensors")
    facts = {"model": mark, "answers": answers(), "final": {n: round(float(abs(v).sum()), 4) for n, v in final.items()}}
    (release / "facts.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


@pytest.fixture
def release(request: pytest.FixtureRequest, folder: Path) -> dict:
    """The files of a release laid out as its user has them; what it found with them."""
    stored = STORED / request.param
    facts = json.loads((stored / "facts.json").read_text(encoding="utf-8"))
    assert tiny(folder / "tiny") == facts["model"], "the tiny model is built with other weights"
    shutil.copytree(stored / "checkpoint-2", folder / "out" / "checkpoint-2")
    for name in ("job.yaml", "rows.jsonl"):
        shutil.copy(stored / name, folder / name)
    return facts


def test_there_is_a_release() -> None:
    assert RELEASES


@pytest.mark.parametrize("release", RELEASES, indirect=True)
def test_its_checkpoint_answers_as_it_did(release: dict) -> None:
    """The lock file says model, template and tuner; `--ckpt_dir` is all that the user says."""
    assert answers() == release["answers"]


@pytest.mark.parametrize("release", RELEASES, indirect=True)
def test_its_run_goes_on_to_the_same_end(release: dict) -> None:
    """The job file is read, the half-way checkpoint taken up, and what comes out is what came out then."""
    train("--resume_from_checkpoint", "last")
    final = load_file(Path("out", f"checkpoint-{STEPS}", "adapter_model.safetensors"))
    assert {name: float(abs(value).sum()) for name, value in final.items()} == pytest.approx(release["final"], rel=1e-3)


@pytest.mark.parametrize("release", RELEASES, indirect=True)
def test_its_adapter_merges_and_loads_in_a_loop(release: dict) -> None:
    """`swift merge-lora`, and `from_pretrained` of the Python API."""
    from transformers import AutoModelForCausalLM

    from swift_core import from_pretrained

    run("merge-lora", ckpt_dir="out/checkpoint-2", output_dir="merged")
    assert Path("merged", "model.safetensors").is_file()
    model = from_pretrained(AutoModelForCausalLM.from_pretrained("tiny"), "out/checkpoint-2")
    assert any("lora_A" in name for name, _ in model.named_parameters())
