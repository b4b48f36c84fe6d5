"""--new_special_tokens: rows that begin at the mean, train alone under LoRA, are saved, loaded and merged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from swift_testing.tiny import tiny_qwen2
from transformers import AutoModelForCausalLM, AutoTokenizer

from swift_core import SwiftError, run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_adapters, load_model, load_processor

TOKENS = ["<|look|>", "<|done|>"]
ROWS = [{"query": f"Look at {n}.", "response": f"<|look|>It is {n}.<|done|>"} for n in range(8)]


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "apart"])
def base(request, tmp_path_factory):
    """A tiny model whose head is its embeddings, or apart from them."""
    return tiny_qwen2(tmp_path_factory.mktemp("base"), tie_word_embeddings=request.param)


@pytest.fixture
def trained(base, write_rows, tmp_path):
    """What a run with the new tokens returns."""

    def train(**options):
        shared = {"max_steps": 3, "learning_rate": 0.02, "warmup_steps": 0, "torch_dtype": "float32", "device": "cpu"}
        said = {"new_special_tokens": TOKENS, "per_device_train_batch_size": 4, "output_dir": str(tmp_path / "out")}
        return run("sft", model=base, dataset=[write_rows(ROWS)], **{**shared, **said, **options})

    return train


def job_for(name, **options):
    return prepare(name, [Given(k, v, "test") for k, v in {"device": "cpu", **options}.items()])


def tables(model):
    """(embeddings, head) as they are used, whatever is around them."""
    return [used(model.get_input_embeddings()), used(model.get_output_embeddings())]


def used(table):
    table = getattr(table, "token_adapter", table)
    weight = table.get_merged_weights(["default"]) if hasattr(table, "get_merged_weights") else table.weight
    return weight.detach().float()


def logits(model, ids):
    with torch.no_grad():
        return model.eval()(input_ids=torch.tensor([ids])).logits[0]


def test_new_rows_begin_at_the_mean_of_the_old_ones(base):
    model, processor = load_model(job_for("infer", model=base, new_special_tokens=TOKENS))
    old = AutoModelForCausalLM.from_pretrained(base)
    count = len(AutoTokenizer.from_pretrained(base))
    ids = processor.convert_tokens_to_ids(TOKENS)
    assert ids == [count, count + 1] and processor("a<|look|>b", add_special_tokens=False)["input_ids"][1] == ids[0]
    for now, before in zip(tables(model), tables(old), strict=True):
        assert torch.equal(now[:count], before[:count])
        assert torch.allclose(now[ids], before[:count].mean(0).expand(2, -1), atol=1e-7)
    shared = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert shared == (old.get_input_embeddings().weight is old.get_output_embeddings().weight)


@pytest.mark.parametrize("tuner", ["lora", "dora", "pissa", "trainable_tokens"])
def test_adapters_train_the_new_rows_alone_and_are_loaded_and_merged(base, trained, tmp_path, tuner):
    """The adapter holds rows, not tables; loaded and merged it gives the trained model's logits in float32."""
    more = {"trainable_tokens": TOKENS} if tuner == "trainable_tokens" else {}
    done = trained(tuner=tuner, **more)
    model, tokenizer = done["trainer"].model, done["trainer"].processing_class
    ids = tokenizer("Look.<|look|>It is 3.<|done|>", add_special_tokens=False)["input_ids"]
    new = tokenizer.convert_tokens_to_ids(TOKENS)
    count = min(new)
    before = tables(load_model(job_for("infer", model=base, new_special_tokens=TOKENS))[0])
    for number, (now, then) in enumerate(zip(tables(model), before, strict=True)):
        assert torch.equal(now[:count], then[:count])
        if tuner != "trainable_tokens" or number == 0:
            assert (now[new] - then[new]).abs().max() > 1e-3, "the new rows did not train"
    checkpoint = Path(done["checkpoint"])
    from safetensors.torch import load_file

    assert all(v.shape[0] != before[0].shape[0] for v in load_file(checkpoint / "adapter_model.safetensors").values())

    job = job_for("infer", ckpt_dir=str(checkpoint), torch_dtype="float32")
    assert job.options.new_special_tokens == TOKENS
    loaded, processor = load_model(job)
    loaded = load_adapters(job, loaded)
    assert processor("x<|done|>", add_special_tokens=False)["input_ids"][-1] == new[1]
    assert torch.allclose(logits(loaded, ids), logits(model, ids), atol=1e-5)

    folder = run("merge-lora", ckpt_dir=str(checkpoint), output_dir=str(tmp_path / "merged"), device="cpu")
    folder = folder["folders"]["merge-lora"]
    merged, plain = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert plain("Look.<|look|>It is 3.<|done|>", add_special_tokens=False)["input_ids"] == ids
    assert set(TOKENS) <= set(plain.all_special_tokens)
    assert torch.allclose(logits(merged, ids), logits(model, ids), atol=1e-5)
    assert merged.config.vocab_size == merged.get_input_embeddings().weight.shape[0] > count + 1


def test_whole_weights_carry_the_tokens_and_go_on(base, trained, tmp_path, write_rows):
    """The full checkpoint loads with plain transformers; the next run on it keeps ids and rows, and says so."""
    done = trained(tuner="full")
    model, tokenizer = done["trainer"].model, done["trainer"].processing_class
    ids = tokenizer("Look.<|look|>It is 3.<|done|>", add_special_tokens=False)["input_ids"]
    plain = AutoModelForCausalLM.from_pretrained(done["checkpoint"])
    kept = AutoTokenizer.from_pretrained(done["checkpoint"])
    assert kept.convert_tokens_to_ids(TOKENS) == tokenizer.convert_tokens_to_ids(TOKENS)
    assert torch.allclose(logits(plain, ids), logits(model, ids), atol=1e-5)
    job = job_for("sft", model=done["checkpoint"], new_special_tokens=TOKENS, dataset=write_rows(ROWS), tuner="lora")
    again, processor = load_model(job)
    assert torch.equal(tables(again)[0], tables(plain)[0]) and len(processor) == len(tokenizer)
    assert any("<|look|> <|done|> already" in note for note in job.notes)
    names = [n for n, p in attach_tuners(job, again).named_parameters() if p.requires_grad]
    assert any("trainable_tokens" in name for name in names)


def test_a_stopped_run_goes_on_with_the_same_rows(trained, tmp_path):
    whole = trained(max_steps=4, save_steps=2, output_dir=str(tmp_path / "whole"))
    half = str(tmp_path / "whole" / "checkpoint-2")
    rest = trained(max_steps=4, output_dir=str(tmp_path / "rest"), resume_from_checkpoint=half)
    for one, other in zip(tables(whole["trainer"].model), tables(rest["trainer"].model), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(SwiftError, match="--new_special_tokens"):
        trained(max_steps=4, output_dir=str(tmp_path / "rest"), resume_from_checkpoint=half, new_special_tokens=["<x>"])


def test_a_file_of_tokens_and_what_is_wrong_with_a_list(base, write_rows, tmp_path):
    (tmp_path / "tokens.txt").write_text("<|look|>\n<|done|>\n")
    job = job_for("sft", model=base, dataset=write_rows(ROWS), new_special_tokens=str(tmp_path / "tokens.txt"))
    assert job.options.new_special_tokens == TOKENS
    path = job.hook.resolve_checkpoint(job=job, model=base, revision=None)
    assert load_processor(job, path, None).convert_tokens_to_ids("<|done|>") is not None
    (tmp_path / "tokens.txt").write_text("<|look|>\n\n<|done|>\n")
    for words, said in ((str(tmp_path / "tokens.txt"), "token 2, '', is blank"), (["<a>", "<a>"], "is there twice")):
        with pytest.raises(SwiftError, match=said):
            job_for("sft", model=base, dataset=write_rows(ROWS), new_special_tokens=words)


@pytest.mark.parametrize("tuner", ["ia3", "adapter", "ln_tuning"])
def test_tuners_that_leave_the_rows_as_they_are_are_refused(trained, tuner):
    with pytest.raises(SwiftError, match=f"nothing trains the new rows beside --tuner {tuner}"):
        trained(tuner=tuner)


def test_answers_of_a_loaded_adapter_hold_the_tokens(trained, write_rows, tmp_path):
    """`swift infer` on the checkpoint: a model that has learnt them by heart writes them."""
    done = trained(max_steps=60, learning_rate=0.005, lr_scheduler_type="constant")
    file = tmp_path / "answers.jsonl"
    asked = {"ckpt_dir": done["checkpoint"], "dataset": write_rows(ROWS, "asked.jsonl"), "device": "cpu"}
    run("infer", **asked, result_path=str(file), max_new_tokens=12)
    answers = [json.loads(line)["response"] for line in file.read_text().splitlines()]
    assert sum("<|look|>" in answer for answer in answers) >= 4, answers
