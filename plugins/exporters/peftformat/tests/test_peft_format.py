"""peft-format: what it writes is opened by plain PEFT, and has the logits that the adapter had here."""

from __future__ import annotations

import json
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from swift_testing import ExporterContract
from swift_testing.serving import random_lora
from swift_testing.tiny import tiny_qwen2
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core import SwiftError
from swift_core.api import run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_adapters, load_model

ROWS = [{"query": "What is 2+3?", "response": "5"}, {"query": "你好", "response": "你好,世界。"}]


class TestPeftFormat(ExporterContract):
    name = "peft-format"
    of = "adapter"


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return tiny_qwen2(tmp_path_factory.mktemp("peft") / "base")


@pytest.fixture(scope="module")
def train(base, tmp_path_factory):
    """A checkpoint of two steps with these options, far from its start."""
    folder = tmp_path_factory.mktemp("runs")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(r) + "\n" for r in ROWS), encoding="utf-8")

    def trained(*tuner, **options):
        return run(
            "sft", model=base, dataset=[str(rows)], output_dir=str(folder / "-".join(tuner)), max_steps=2,
            learning_rate=0.05, tuner=list(tuner), torch_dtype="float32", device="cpu", save_only_model=True, **options,
        )["checkpoint"]  # fmt: skip

    return trained


def export(**options):
    values = {"to_peft_format": True, "device": "cpu", **options}
    job = prepare("export", [Given(k, v, "test") for k, v in values.items()])
    return job, job.spec.runner()(job)["folders"]["peft-format"]


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=torch.arange(5, 40)[None]).logits


@pytest.mark.parametrize("tuner", ["lora", "dora", "pissa", "ia3", "ln_tuning", "prompt", "longlora"])
def test_plain_peft_opens_it_with_the_same_logits(train, base, tuner):
    job, folder = export(ckpt_dir=train(tuner))
    ours = logits(load_adapters(job, load_model(job)[0]))
    plain = AutoModelForCausalLM.from_pretrained(base)
    far = (ours[:, -35:] - logits(plain)).abs().max()
    theirs = logits(peft.PeftModel.from_pretrained(plain, folder))
    assert far > 1e-3 and torch.allclose(ours, theirs, atol=1e-5)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert peft.PeftConfig.from_pretrained(folder).base_model_name_or_path == base
    assert not Path(folder, "training.safetensors").exists()


def test_several_adapters_have_a_folder_each(train, base):
    job, folder = export(ckpt_dir=train("lora", "rslora"))
    ours = logits(load_adapters(job, load_model(job)[0]))
    places = sorted(path.parent for path in Path(folder).glob("*/adapter_config.json"))
    model = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), places[0], "one")
    model.load_adapter(places[1], "two")
    model.base_model.set_adapter(["one", "two"])
    assert len(places) == 2 and torch.allclose(ours, logits(model), atol=1e-5)


@pytest.mark.parametrize(("tuner", "more"), [("adapter", {}), ("reft", {}), ("llamapro", {"num_new_blocks": 1})])
def test_what_has_no_form_in_peft_is_refused_with_the_reason(train, tuner, more, tmp_path):
    with pytest.raises(SwiftError, match=r"does not support peft-format: .*(PEFT|LoRA)"):
        export(ckpt_dir=train(tuner, **more), output_dir=str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_without_an_adapter_there_is_nothing_to_write(base, tmp_path):
    with pytest.raises(SwiftError, match="There is no adapter to write"):
        export(model=base, output_dir=str(tmp_path / "out"))


# -- ms-swift's own format --------------------------------------------------------------------------------
@pytest.fixture
def of_ms_swift(base, tmp_path):
    """(the folder of an adapter in ms-swift's format, its logits)."""
    folder = Path(random_lora(base, tmp_path / "default"))
    wanted = logits(peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), folder))
    said = json.loads((folder / "adapter_config.json").read_text())
    told = {"swift_type": "LORA", "lora_dtype": "AUTO", "model_key_mapping": None, "use_qa_lora": False}
    (folder / "adapter_config.json").write_text(json.dumps(said | told))
    file = folder / "adapter_model.safetensors"
    weights = {
        key.removeprefix("base_model.model.").replace(".weight", ".default.weight"): value
        for key, value in load_file(file).items()
    }
    save_file(weights, file)
    return folder, wanted


def test_an_adapter_of_ms_swift_becomes_one_of_peft(of_ms_swift, base, tmp_path):
    folder, wanted = of_ms_swift
    _, written = export(model=base, adapters=[str(folder)], output_dir=str(tmp_path / "out"))
    assert torch.allclose(
        wanted, logits(peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), written))
    )
    assert "swift_type" not in json.loads(Path(written, "adapter_config.json").read_text())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"swift_type": "LONGLORA"}, "of the type LONGLORA, for which PEFT has no form"),
        ({"use_qa_lora": True}, "with use_qa_lora, for which"),
        ({}, "has weights beside its adapters"),
    ],
)
def test_what_peft_cannot_say_of_ms_swift_is_refused(of_ms_swift, base, tmp_path, change, words):
    folder, _ = of_ms_swift
    said = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(said | change))
    if not change:
        (folder.parent / "extra_states").mkdir()
    with pytest.raises(SwiftError, match=words):
        export(model=base, adapters=[str(folder)], output_dir=str(tmp_path / "out"))
