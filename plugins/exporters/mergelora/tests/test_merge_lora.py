"""merge-lora: the merged folder is a plain checkpoint that answers as the adapter model did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from swift_testing.tiny import tiny_qwen2

from swift_core.api import run
from swift_core.contract.errors import SwiftError
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import load_adapters, load_model
from swift_core.jobs.writing import destination, source_of, writing

ROWS = [
    {"query": "What is 2+3?", "response": "5"},
    {"query": "你好", "response": "你好,世界。"},
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A LoRA checkpoint that has moved far from its start. (checkpoint folder, base folder)"""
    folder = tmp_path_factory.mktemp("merge")
    base = tiny_qwen2(folder / "base")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(r) + "\n" for r in ROWS), encoding="utf-8")
    done = run(
        "sft", model=base, dataset=[str(rows)], output_dir=str(folder / "run"), max_steps=4, learning_rate=0.02,
        tuner=["lora"], torch_dtype="float32", device="cpu",
    )  # fmt: skip
    return Path(done["checkpoint"]), base


def export(name, **options):
    return prepare(name, [Given(k, v, "test") for k, v in options.items()])


def logits(model):
    ids = torch.arange(5, 40).unsqueeze(0)
    with torch.no_grad():
        return model(input_ids=ids).logits


def test_merged_checkpoint_equals_the_adapter_model(trained):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    checkpoint, base = trained
    job = export("merge-lora", ckpt_dir=str(checkpoint), device="cpu")
    folder = job.run()["folders"]["merge-lora"]
    assert folder == f"{checkpoint}-merged"

    adapted = load_adapters(job, load_model(job)[0])
    merged = AutoModelForCausalLM.from_pretrained(folder)
    plain = AutoModelForCausalLM.from_pretrained(base)
    assert (logits(merged) - logits(adapted)).abs().max() <= 1e-4
    assert (logits(merged) - logits(plain)).abs().max() > 0.01

    tokenizer = AutoTokenizer.from_pretrained(folder)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    lock = json.loads(Path(folder, "swift.lock.json").read_text(encoding="utf-8"))
    assert lock["job"] == "merge-lora" and lock["model"] == base and lock["model_type"] == "qwen2"
    assert sorted(checkpoint.parent.glob(".*")) == []


@pytest.mark.parametrize(
    "targets", ["q_proj embed_tokens", "q_proj lm_head", "embed_tokens lm_head", "q_proj v_proj"], ids=str.split
)
def test_tied_weights_are_untied_where_an_adapter_changes_one_of_the_two(trained, tmp_path, targets):
    """The merged model answers as the adapter does, loaded by transformers alone; the adapter holds its own weights."""
    import peft
    import transformers
    from safetensors.torch import load_file

    tied = transformers.AutoModelForCausalLM.from_pretrained(trained[1])
    tied.config.tie_word_embeddings = True
    tied.tie_weights()
    tied.save_pretrained(tmp_path / "tied")
    for file in Path(trained[1]).glob("*token*"):
        (tmp_path / "tied" / file.name).write_bytes(file.read_bytes())
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps({"query": f"What is {n}?", "response": f"It is {n}."}) + "\n" for n in range(8)))
    told = {"max_steps": 4, "learning_rate": 1e-2, "torch_dtype": "float32", "target_modules": targets.split()}
    folder = str(tmp_path / "tied")
    done = run("sft", model=folder, dataset=[str(rows)], template="chatml", output_dir=str(tmp_path / "out"), **told)
    run("export", ckpt_dir=done["checkpoint"], merge_lora=True, output_dir=str(tmp_path / "merged"))
    plain = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    before = logits(plain)
    adapted = logits(peft.PeftModel.from_pretrained(plain, done["checkpoint"]).eval())
    merged = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path / "merged"), dtype=torch.float32)
    assert (adapted - before).abs().max() > 0.01
    assert torch.allclose(logits(merged.eval()), adapted, atol=1e-5)
    assert merged.config.tie_word_embeddings is (targets == "q_proj v_proj")
    assert all("lora" in name for name in load_file(Path(done["checkpoint"], "adapter_model.safetensors")))


def test_a_template_that_names_tokens_by_number(trained, tmp_path):
    from transformers import AutoTokenizer

    job = export("merge-lora", ckpt_dir=str(trained[0]), template="baichuan", output_dir=str(tmp_path / "out"))
    tokenizer = AutoTokenizer.from_pretrained(job.run()["folders"]["merge-lora"])
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text.startswith(tokenizer.convert_ids_to_tokens(195) + "Hi")


def test_a_taken_place_is_kept(trained, tmp_path):
    checkpoint, _ = trained
    target = tmp_path / "mine"
    target.mkdir()
    (target / "notes.txt").write_text("keep me")
    for exist_ok in (False, True):
        job = export("export", ckpt_dir=str(checkpoint), merge_lora=True, output_dir=str(target), exist_ok=exist_ok)
        with pytest.raises(SwiftError, match=r"is there already|not an earlier export"):
            job.run()
    assert (target / "notes.txt").read_text() == "keep me"


def test_exist_ok_replaces_an_earlier_export(trained, tmp_path):
    checkpoint, _ = trained
    options = {"ckpt_dir": str(checkpoint), "merge_lora": True, "output_dir": str(tmp_path / "out")}
    first = export("export", **options)
    first.run()
    (tmp_path / "out" / "stale").touch()
    again = export("export", exist_ok=True, **options)
    again.run()
    assert not (tmp_path / "out" / "stale").exists()
    assert (tmp_path / "out" / "model.safetensors").is_file()


def _tear(folder):
    (folder / "half").write_text("torn")
    raise ZeroDivisionError


def test_a_failed_export_leaves_nothing(trained, tmp_path):
    job = export("merge-lora", ckpt_dir=str(trained[0]), output_dir=str(tmp_path / "out"))
    with pytest.raises(ZeroDivisionError), writing(job, "merged") as place:
        _tear(place.staging)
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_refuses_is_a_clear_error(trained, tmp_path):
    import resource

    job = export("merge-lora", ckpt_dir=str(trained[0]), output_dir=str(tmp_path / "out"), device="cpu")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))  # no file may grow beyond 20 kB
    try:
        with pytest.raises(SwiftError, match="could not be written"):
            job.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_where_an_export_goes(trained, tmp_path):
    checkpoint, base = trained
    assert destination(export("export", adapters=[str(checkpoint)], model=base), "x") == Path(f"{checkpoint}-x")
    assert source_of(export("export", model="Qwen/Qwen2-0.5B")) == Path("Qwen2-0.5B")


def test_nothing_chosen_lists_the_exporters(trained):
    job = export("export", ckpt_dir=str(trained[0]))
    with pytest.raises(SwiftError, match=r"What shall be written.*merge-lora"):
        job.run()


def test_no_adapter_is_an_error(trained):
    job = export("merge-lora", model=trained[1])
    with pytest.raises(SwiftError, match="no adapter to merge"):
        job.run()
