"""Megatron-Core itself, in its environment, on a CPU by a shim: `make test-megatron`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import swift_plugin_megatron
import torch
from swift_plugin_megatron.architectures import ARCHITECTURES
from transformers import AutoModelForCausalLM

from swift_core.api import run
from swift_core.catalogue import venvs

sys.path.insert(0, str(Path(__file__).parent))

import megatron_families

pytestmark = pytest.mark.skipif("SWIFT_TEST_MEGATRON" not in os.environ, reason="an environment: make test-megatron")

HERE, ENGINE = Path(__file__).parent, Path(swift_plugin_megatron.__file__).parent / "engine"
IDS = torch.randint(0, 512, (2, 24), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """(model → its checkpoint of transformers, model → its checkpoint of Megatron-Core)."""
    place = tmp_path_factory.mktemp("models")
    plain = {family: megatron_families.write(place / family, family) for family in ARCHITECTURES}
    plain["llama 3.1"] = megatron_families.write(place / "llama31", "llama", rope_parameters=megatron_families.LLAMA3)
    moved = {
        family: run("export", model=folder, output_dir=f"{folder}-there", to_megatron=True, device="cpu")["folders"]
        for family, folder in plain.items()
    }
    return plain, {family: folders["megatron"] for family, folders in moved.items()}


def torchrun(processes, script, work, place):
    """Run a script in Megatron-Core's environment on several processes."""
    file = place / "work.json"
    file.write_text(json.dumps(work))
    python = str(venvs.find("megatron").create())
    words = [python, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes), str(script)]
    done = subprocess.run([*words, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-6000:]


def wanted(folder):
    """The logits of transformers."""
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        return model(input_ids=IDS).logits


@pytest.mark.parametrize("processes", [1, 2])
def test_logits_are_those_of_transformers(models, tmp_path, processes):
    plain, moved = models
    out = tmp_path / "logits.pt"
    work = {"engine": str(ENGINE), "models": moved, "ids": IDS.tolist(), "out": str(out)}
    torchrun(processes, HERE / "logits.py", {**work, "sizes": {"tensor": processes}}, tmp_path)
    found = torch.load(out)
    far = {family: float((found[family] - wanted(folder)).abs().max()) for family, folder in plain.items()}
    print(processes, far)
    assert len(found) == len(ARCHITECTURES) + 1 and max(far.values()) < 1e-5, far
