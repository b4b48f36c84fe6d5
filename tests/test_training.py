"""Training from real rows to a checkpoint that others load, and what survives when a save goes wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from swift_core import SwiftError, run

TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "天气", "parameters": {"type": "object"}},
}
CHAT = {
    "messages": [
        {"role": "system", "content": "你是一个有用的助手。"},
        {"role": "user", "content": "今天北京的天气怎么样?"},
        {"role": "assistant", "content": "", "tool_calls": [{"name": "get_weather", "arguments": {"city": "北京"}}]},
        {"role": "tool", "content": "晴, 20"},
        {"role": "assistant", "content": "北京今天晴, 20 度。"},
        {"role": "user", "content": "Thanks!"},
        {"role": "assistant", "content": "You are welcome."},
    ],
    "tools": [TOOL],
}
SHORT = [{"query": f"What is {n}?", "response": f"It is {n}."} for n in range(24)]


def train(model, dataset, output, **options):
    defaults = {
        "template": "chatml",
        "num_train_epochs": 1,
        "logging_steps": 1,
        "save_steps": 1000,
        "per_device_train_batch_size": 2,
        "learning_rate": 1e-3,
        "torch_dtype": "float32",
    }
    return run("sft", model=model, dataset=[dataset], output_dir=str(output), **{**defaults, **options})


def losses(output) -> list[float]:
    lines = [json.loads(x) for x in Path(output, "logging.jsonl").read_text().splitlines()]
    return [x["loss"] for x in lines if "loss" in x]


@pytest.mark.parametrize("agent", ["hermes", "react"])
def test_labels_cover_the_answers_only(qwen2, write_rows, agent):
    from swift_plugin_runtime.encoding.datasets import encode_some
    from transformers import AutoTokenizer

    from swift_core.data.convert import to_row
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    options = {"model": qwen2, "template": "qwen", "agent": agent, "dataset": [write_rows([CHAT])]}
    job = prepare("sft", [Given(k, v, "test") for k, v in options.items()])
    tokenizer = AutoTokenizer.from_pretrained(qwen2)
    item = encode_some(job, [to_row(json.loads(json.dumps(CHAT)))], tokenizer)[0]
    trained = tokenizer.decode([i for i, label in zip(item["input_ids"], item["labels"], strict=True) if label != -100])
    whole = tokenizer.decode(item["input_ids"])
    assert "你是一个有用的助手。" in whole and "get_weather" in whole
    for said in ("北京今天晴, 20 度。<|im_end|>", "You are welcome.<|im_end|>", '{"city": "北京"}'):
        assert said in trained
    for heard in ("你是一个有用的助手。", "今天北京的天气怎么样", "晴, 20\n", "Thanks!", "assistant\n"):
        assert heard not in trained


def test_adapter_is_a_plain_peft_adapter(qwen2, write_rows, tmp_path):
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    done = train(qwen2, write_rows([CHAT, *SHORT]), tmp_path / "out")
    base = AutoModelForCausalLM.from_pretrained(qwen2, dtype=torch.float32)
    ours = done["trainer"].model.eval()
    theirs = peft.PeftModel.from_pretrained(base, done["checkpoint"]).eval()
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.allclose(ours(ids).logits, theirs(ids).logits, atol=1e-5)
        with theirs.disable_adapter():
            assert not torch.allclose(ours(ids).logits, theirs(ids).logits, atol=1e-3)
    assert losses(tmp_path / "out")[-1] < losses(tmp_path / "out")[0]


def test_full_fine_tuning_saves_a_plain_checkpoint(qwen2, write_rows, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    done = train(qwen2, write_rows(SHORT), tmp_path / "out", tuner="full")
    loaded, report = AutoModelForCausalLM.from_pretrained(
        done["checkpoint"], dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"]
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.allclose(loaded(ids).logits, done["trainer"].model.eval()(ids).logits, atol=1e-5)
    assert AutoTokenizer.from_pretrained(done["checkpoint"]).eos_token == "<|im_end|>"


def test_tensorboard_is_written_beside_the_checkpoints(qwen2, write_rows, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    train(qwen2, write_rows(SHORT[:4]), tmp_path / "out", report_to=["tensorboard"])
    (file,) = (tmp_path / "out").rglob("*tfevents*")
    written = EventAccumulator(str(file)).Reload().Scalars("train/loss")
    assert [e.value for e in written] == pytest.approx(losses(tmp_path / "out"), rel=1e-5)


@pytest.mark.parametrize(
    ("mode", "dtype", "error"),
    [({}, "float32", 2e-4), ({}, "bfloat16", 5e-3), ({"packing": True, "max_length": 4096}, "float32", 2e-4)],
)
def test_flat_batches_learn_what_padded_ones_learn(qwen2, write_rows, tmp_path, mode, dtype, error):
    """Fifty steps of the default path, and of packs, give the losses of padded rows whose logits are all made."""
    rows = write_rows([{"query": "x" * (1 + n % 7), "response": f"answer {n} " * (1 + n % 3)} for n in range(8)])
    whole = {"per_device_train_batch_size": 8, "tuner": "full", "dataset_shuffle": False, "num_train_epochs": 50}
    whole["torch_dtype"] = dtype
    if "packing" in mode:  # all eight rows make one pack
        mode = {**mode, "per_device_train_batch_size": 1}
    padded = train(qwen2, rows, tmp_path / "padded", **whole, padding_free=False, fused_loss="off")["trainer"]
    flat = train(qwen2, rows, tmp_path / "flat", **{**whole, **mode})["trainer"]
    assert flat.head is not None and padded.head is None
    assert "position_ids" in next(iter(flat.get_train_dataloader()))
    assert "position_ids" not in next(iter(padded.get_train_dataloader()))
    assert losses(tmp_path / "flat") == pytest.approx(losses(tmp_path / "padded"), abs=error)
    assert len(losses(tmp_path / "flat")) == 50


def test_accumulated_small_batches_equal_one_large(qwen2, write_rows, tmp_path):
    rows = write_rows([{"query": "q", "response": "word " * (1 + 5 * (n % 4))} for n in range(16)])
    shared = {"tuner": "full", "dataset_shuffle": False, "num_train_epochs": 2}
    train(qwen2, rows, tmp_path / "one", per_device_train_batch_size=8, **shared)
    train(qwen2, rows, tmp_path / "eight", per_device_train_batch_size=1, gradient_accumulation_steps=8, **shared)
    assert losses(tmp_path / "eight") == pytest.approx(losses(tmp_path / "one"), abs=2e-4)


def test_resumed_run_is_the_uninterrupted_run_bit_for_bit(qwen2, write_rows, tmp_path):
    from safetensors.torch import load_file

    rows = write_rows(SHORT)
    shared = {"num_train_epochs": 1, "save_steps": 5, "lora_dropout": 0.1}
    whole = train(qwen2, rows, tmp_path / "whole", **shared)
    train(qwen2, rows, tmp_path / "parts", **shared, training_args={"max_steps": 12})
    import shutil

    for late in ("checkpoint-10", "checkpoint-12"):
        shutil.rmtree(tmp_path / "parts" / late, ignore_errors=True)
    (tmp_path / "parts" / "logging.jsonl").unlink()
    again = train(qwen2, rows, tmp_path / "parts", **shared, resume_from_checkpoint="last")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")[5:]
    one, two = (load_file(Path(d["checkpoint"], "adapter_model.safetensors")) for d in (whole, again))
    assert all((one[k] == two[k]).all() for k in one) and one.keys() == two.keys()


def test_output_of_another_run_is_not_overwritten(qwen2, write_rows, tmp_path):
    rows = write_rows(SHORT[:4])
    train(qwen2, rows, tmp_path / "out")
    with pytest.raises(SwiftError, match=r"already holds checkpoint-2.*--resume_from_checkpoint"):
        train(qwen2, rows, tmp_path / "out")


def test_failed_save_keeps_the_previous_checkpoint_whole(qwen2, write_rows, tmp_path):
    """The file size limit of the process stands in for a full disk: the write itself fails, midway."""
    import resource

    rows, output = write_rows(SHORT), tmp_path / "out"
    train(qwen2, rows, output, save_steps=4, training_args={"max_steps": 4})
    before = {p.name: p.read_bytes() for p in (output / "checkpoint-4").iterdir()}
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(SwiftError, match=r"checkpoint-8 could not be written.*checkpoint-4 are whole"):
            train(qwen2, rows, output, save_steps=4, resume_from_checkpoint="last")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert [p.name for p in output.glob("checkpoint-*")] == ["checkpoint-4"]
    assert before == {p.name: p.read_bytes() for p in (output / "checkpoint-4").iterdir()}
    train(qwen2, rows, output, save_steps=4, resume_from_checkpoint="last")
    assert (output / "checkpoint-12").is_dir()


def test_kill_during_a_save_leaves_no_torn_checkpoint(qwen2, write_rows, tmp_path):
    """SIGKILL while a checkpoint is being staged: it never appears, the older one resumes."""
    rows, output = write_rows(SHORT), tmp_path / "out"
    words = f"sft --model {qwen2} --dataset {rows} --template chatml --output_dir {output} --save_steps 1"
    command = [sys.executable, "-m", "swift_core", *words.split(), "--num_train_epochs", "50", "--tuner", "full"]
    log = (tmp_path / "log").open("w")
    process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 400
    while time.monotonic() < deadline and process.poll() is None:
        if (output / "checkpoint-2").is_dir() and any(dirs or files for _, dirs, files in os.walk(output / ".saving")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    assert process.wait(timeout=60) == -signal.SIGKILL, (tmp_path / "log").read_text()[-2000:]
    for checkpoint in output.glob("checkpoint-*"):
        assert (checkpoint / "trainer_state.json").is_file() and (checkpoint / "optimizer.pt").is_file()
    last = max(int(p.name.split("-")[1]) for p in output.glob("checkpoint-*"))
    again = [*command, "--resume_from_checkpoint", "last", "--max_steps", str(last + 1)]
    done = subprocess.run(
        again, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (output / f"checkpoint-{last + 1}").is_dir()


@pytest.mark.parametrize(
    ("row", "options", "words"),
    [
        (
            {"query": "q", "response": "r " * 100},
            {"max_length": 16, "truncation_strategy": "raise"},
            "more than max_length 16",
        ),
        ({"query": "q", "response": "r " * 100}, {"max_length": 16}, "No training rows are left"),
        ({"query": "<image>", "response": "r", "images": ["x.png"]}, {}, "reads no image"),
        ({"messages": [{"role": "user", "content": "hi"}]}, {}, "nothing to learn"),
    ],
)
def test_rows_that_cannot_be_trained(qwen2, write_rows, tmp_path, row, options, words):
    with pytest.raises(SwiftError, match=words):
        train(qwen2, write_rows([row]), tmp_path / "out", **options)


def test_bad_rows_are_skipped_and_counted_when_asked(qwen2, write_rows, tmp_path, capsys):
    train(qwen2, write_rows([*SHORT[:4], {"query": "q", "response": ""}]), tmp_path / "out", strict=False)
    assert "skipped 1 bad rows" in capsys.readouterr().err


def test_a_continued_adapter_resumes_from_its_own_checkpoint(qwen2, write_rows, tmp_path):
    rows = write_rows(SHORT)
    first = train(qwen2, rows, tmp_path / "first")
    shared = {"adapters": [first["checkpoint"]], "save_steps": 5}
    train(qwen2, rows, tmp_path / "whole", **shared)
    train(qwen2, rows, tmp_path / "parts", **shared)
    import shutil

    for late in ("checkpoint-10", "checkpoint-12"):
        shutil.rmtree(tmp_path / "parts" / late)
    (tmp_path / "parts" / "logging.jsonl").unlink()
    train(qwen2, rows, tmp_path / "parts", **shared, resume_from_checkpoint="last")
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")[5:]
    assert losses(tmp_path / "whole")[0] < losses(tmp_path / "first")[0]


def logged(output) -> list[dict]:
    return [json.loads(x) for x in Path(output, "logging.jsonl").read_text().splitlines()]


def test_evaluates_stops_early_keeps_the_best_and_logs(qwen2, write_rows, tmp_path):
    """A learning rate that ruins the model: evaluations get worse, the run stops, the best one is its outcome."""
    output, held = tmp_path / "out", write_rows(SHORT[:4], "held.jsonl")
    watched = {"val_dataset": [held], "early_stopping_patience": 2, "save_total_limit": 1}
    done = train(
        qwen2, write_rows(SHORT), output, tuner="full", learning_rate=1.0, lr_scheduler_type="constant", warmup_ratio=0,
        save_steps=1, num_train_epochs=20, training_args={"optim": "sgd"},
        **watched,
    )  # fmt: skip
    lines = logged(output)
    evaluated = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
    best = min(evaluated, key=evaluated.get)
    assert max(evaluated) == best + 2 < 240, "It did not stop after two evaluations without a better one."
    assert done["checkpoint"] == str(output / f"checkpoint-{best}")
    kept = sorted(p.name for p in output.glob("checkpoint-*"))
    assert kept == [f"checkpoint-{best}"], "A limit of one keeps the best at the end."
    assert all(line["tokens_per_second"] > 0 for line in lines if "loss" in line)
    assert (output / "curves.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("said", "rates"),
    [
        ({"warmup_steps": 2}, [0, 0.5, 1, 1]),
        ({"warmup_steps": 0}, [1, 1, 1, 1]),
        ({"warmup_ratio": 0.5}, [0, 0.5, 1, 1]),
        ({"warmup_ratio": 1.0}, [0, 0.25, 0.5, 0.75]),
    ],
)
def test_the_rate_warms_up_over_steps_or_a_share_of_them(qwen2, write_rows, tmp_path, said, rates):
    shared = {"max_steps": 4, "save_strategy": "no", "lr_scheduler_type": "constant_with_warmup"}
    train(qwen2, write_rows(SHORT[:4]), tmp_path / "out", **shared, **said, learning_rate=1e-3)
    found = [line["learning_rate"] for line in logged(tmp_path / "out") if "learning_rate" in line]
    assert found == pytest.approx([rate * 1e-3 for rate in rates])


def test_two_lengths_of_the_warm_up_are_refused(qwen2, write_rows, tmp_path):
    with pytest.raises(SwiftError, match="--warmup_ratio and --warmup_steps both"):
        train(qwen2, write_rows(SHORT[:4]), tmp_path / "out", warmup_steps=2, warmup_ratio=0.1)


def test_what_watching_needs_is_said(qwen2, write_rows, tmp_path):
    rows = write_rows(SHORT[:4])
    with pytest.raises(SwiftError, match="--early_stopping_patience watches evaluations: say --val_dataset"):
        train(qwen2, rows, tmp_path / "out", early_stopping_patience=2)
    with pytest.raises(SwiftError, match="--report_to swanlab needs the package swanlab: pip install swanlab"):
        train(qwen2, rows, tmp_path / "out", report_to=["swanlab"])


def test_upload_is_tried_with_the_whole_checkpoint(qwen2, write_rows, tmp_path, monkeypatch):
    """Nobody listens at the hub's address: the error names the repository, and the checkpoint is there."""
    rows, output = write_rows(SHORT[:4]), tmp_path / "out"
    with pytest.raises(SwiftError, match="say --hub_model_id"):
        train(qwen2, rows, output, push_to_hub=True)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    asked = {"push_to_hub": True, "hub_model_id": "me/mine", "use_hf": True, "hub_token": "secret"}
    with pytest.raises(SwiftError, match=r"checkpoint-2 could not be uploaded to me/mine on Hugging Face") as caught:
        train(qwen2, rows, output, **asked)
    assert "secret" not in str(caught.value)
    assert (output / "checkpoint-2" / "adapter_model.safetensors").is_file()
    assert "secret" not in (output / "checkpoint-2" / "swift.lock.json").read_text()


def test_curves_share_plots():
    """A metric of training and evaluation, and both sides of pairs, stand in one plot each."""
    from swift_plugin_runtime.training.plots import panels_of

    names = ["loss", "eval_loss", "rewards/chosen", "rewards/rejected", "eval_rewards/chosen", "rewards/margins", "kl"]
    panels = panels_of({name: [(1, 0.0), (2, 1.0)] for name in names})
    assert {title: list(lines) for title, lines in panels.items()} == {
        "loss": ["loss", "eval_loss"],
        "rewards": ["rewards/chosen", "rewards/rejected", "eval_rewards/chosen"],
        "rewards/margins": ["rewards/margins"],
        "kl": ["kl"],
    }


def test_text_through_a_multimodal_model_is_text_through_its_language_model(qwen2_vl, write_rows, tmp_path):
    """The same weights as Qwen2-VL and as Qwen2: the same losses, step by step."""
    import transformers
    from swift_plugin_runtime.loading.processor import load_processor

    whole = transformers.Qwen2VLForConditionalGeneration.from_pretrained(qwen2_vl)
    text = whole.config.text_config.to_dict()
    apart = ("model_type", "architectures", "rope_parameters", "layer_types", "transformers_version")
    config = transformers.Qwen2Config(**{k: v for k, v in text.items() if k not in apart})
    config.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
    alone = transformers.Qwen2ForCausalLM(config)
    alone.model.load_state_dict(whole.model.language_model.state_dict())
    alone.lm_head.load_state_dict(whole.lm_head.state_dict())
    alone.save_pretrained(tmp_path / "alone")
    load_processor(qwen2_vl, False).tokenizer.save_pretrained(tmp_path / "alone")
    rows = write_rows([CHAT, *SHORT[:7]])
    told = {"tuner": "full", "num_train_epochs": 2, "dataset_shuffle": False, "agent": "hermes"}
    train(qwen2_vl, rows, tmp_path / "vl", **told)
    train(str(tmp_path / "alone"), rows, tmp_path / "text", **told)
    assert losses(tmp_path / "vl") == pytest.approx(losses(tmp_path / "text"), rel=1e-4)
    assert losses(tmp_path / "vl")[-1] < losses(tmp_path / "vl")[0]


def test_media_that_never_reach_the_model_are_an_error(qwen2_vl, tmp_path):
    """A model whose forward drops pictures would train without a word; with its own forward it trains."""
    from PIL import Image
    from swift_testing.contracts_trainers import build_trainer

    Image.effect_noise((56, 56), 80).convert("RGB").save(tmp_path / "a.png")
    rows = [{"query": "What is this?", "response": "noise", "images": [str(tmp_path / "a.png")]}]
    for method, more in (("sft", {}), ("dpo", {"rejected_response": "nothing"})):
        trainer = build_trainer(qwen2_vl, [{**rows[0], **more}], tmp_path, trainer=method, max_steps=1)
        seeing = trainer.model.forward

        def blind(pixel_values=None, image_grid_thw=None, seeing=seeing, **inputs):
            return seeing(**inputs)

        trainer.model.forward = blind
        with pytest.raises(SwiftError, match=r"was given pixel_values and never looked at them"):
            trainer.train()
        trainer.model.forward, trainer.media_seen = seeing, False
        trainer.train()
