"""The stages of run.py, each a process: `python -m benchmarks.gpu.stages NAME FOLDER cuda|cpu [--small]`.

material: a random model and rows in FOLDER. `lora, swift` and its like: an optimizer step to warm up and two that are
measured. answers: greedy ones to sixteen questions together. The last line of output is a JSON object with the figures.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch

QWEN_7B = {
    "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32,
    "num_key_value_heads": 32, "vocab_size": 151_936,
}  # fmt: skip
"""7,721 million weights, as in Table 4."""

SMALL = {
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 4, "vocab_size": 4096,
}  # fmt: skip

TABLE_3 = {
    "per_device_train_batch_size": 1, "gradient_accumulation_steps": 16, "learning_rate": 5e-5,
    "gradient_checkpointing": True, "weight_decay": 0.01,
}  # fmt: skip
"""Settings of the SWIFT paper's Table 3 beside LoRA's rank of 8, rows of 2,048 tokens and bfloat16. Its share of steps
to warm up is left out: there are three steps."""

STEPS = 3
QUESTIONS, TOKENS = 16, 128


class Watch:
    """The times at which a Trainer's steps began and ended, in `times`, with the GPU's work done."""

    def __init__(self) -> None:
        import transformers.trainer

        times = self.times = []

        class Note(transformers.TrainerCallback):
            def on_train_begin(self, *_: Any, **__: Any) -> None:
                note(times)

            def on_step_end(self, *_: Any, **__: Any) -> None:
                note(times)

        transformers.trainer.DEFAULT_CALLBACKS.append(Note)


def note(times: list[float]) -> None:
    """Add the time at which all work that was given to the GPU is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    times.append(time.perf_counter())


def material(folder: Path, device: str, small: bool) -> dict[str, Any]:
    """Write a random Qwen2 of Qwen-7B's shape in bfloat16, rows, and the same rows encoded for the peers."""
    import transformers
    from swift_testing.tiny import CHATML_TOKENS, SAMPLE_TEXTS, build_tokenizer

    from benchmarks.tuners.run import write_data

    tokenizer = build_tokenizer(SAMPLE_TEXTS, CHATML_TOKENS)
    config = transformers.Qwen2Config(
        **(SMALL if small else QWEN_7B), eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        max_position_embeddings=4096, use_sliding_window=False, tie_word_embeddings=False, dtype="bfloat16",
    )  # fmt: skip
    torch.manual_seed(0)
    with torch.device(device):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder / "model")
    tokenizer.save_pretrained(folder / "model")
    rows = STEPS * TABLE_3["gradient_accumulation_steps"]
    Path(write_data(folder, int(rows), 8 if small else 224, 1)).rename(folder / "rows.jsonl")
    encoded = encode(folder)
    (folder / "encoded.json").write_text(json.dumps(encoded), encoding="utf-8")
    lengths = [len(row["input_ids"]) for row in encoded]
    weights = sum(p.numel() for p in model.parameters()) / 1e6
    return {"result": f"{weights:.2f} M weights; {len(lengths)} rows of {min(lengths)} to {max(lengths)} tokens"}


def encode(folder: Path) -> list[dict[str, list[int]]]:
    """Ids and labels of the rows, as `swift sft` trains on them."""
    from swift_core.data.load import load_all
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare
    from swift_core.jobs.steps import load_processor

    path, file = str(folder / "model"), str(folder / "rows.jsonl")
    job = prepare("sft", [Given("model", path, "benchmark"), Given("dataset", [file], "benchmark")])
    processor = load_processor(job, path, job.hook.load_config(job=job, path=path))
    rows = job.hook.encode(job=job, rows=load_all(job, [file]), processor=processor, generation=False)
    return [{key: [int(n) for n in row[key]] for key in ("input_ids", "labels")} for row in rows]


def by_swift(folder: Path, device: str, tuner: str, quantized: bool, more: list[str]) -> Any:
    """The trainer of `swift sft`, after its steps. more: patchers, and the attention where it is not torch's own."""
    from swift_core.api import run

    options: dict[str, Any] = {"quantizer": "bnb", "quant_bits": 4} if quantized else {}
    if "liger" in more:
        options["patcher"] = ["liger"]
    if "flash_attention_2" in more:
        options["attn_impl"] = "flash_attention_2"
    done = run(
        "sft", model=str(folder / "model"), dataset=[str(folder / "rows.jsonl")], tuner=[tuner], device=device,
        output_dir=str(folder / "run"), max_steps=STEPS, save_strategy="no", logging_steps=1, max_length=2048,
        dataset_shuffle=False, torch_dtype="bfloat16", warmup_ratio=0, lr_scheduler_type="constant", **options,
        **TABLE_3,
    )  # fmt: skip
    return done["trainer"]


def by_transformers(folder: Path, device: str, tuner: str, quantized: bool, more: list[str]) -> Any:
    """The Trainer of transformers after its steps, set up as its and PEFT's documentation have it."""
    import peft
    import transformers

    own: dict[str, Any] = {"dtype": torch.bfloat16, "device_map": device}
    if quantized:
        own["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )  # fmt: skip
    if "flash_attention_2" in more:
        own["attn_implementation"] = "flash_attention_2"
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", **own)
    if quantized:
        model = peft.prepare_model_for_kbit_training(model)
    if tuner == "lora":
        model = peft.get_peft_model(
            model, peft.LoraConfig(r=8, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        )
    arguments = transformers.TrainingArguments(
        str(folder / "peer"), report_to=[], disable_tqdm=True, bf16=True, use_cpu=device == "cpu", max_steps=STEPS,
        save_strategy="no", logging_steps=1, lr_scheduler_type="constant", train_sampling_strategy="sequential",
        gradient_checkpointing_kwargs={"use_reentrant": False}, **TABLE_3,
    )  # fmt: skip
    if tuner == "lora":
        model.enable_input_require_grads()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    rows = json.loads((folder / "encoded.json").read_text(encoding="utf-8"))
    trainer = transformers.Trainer(model, arguments, transformers.DataCollatorForSeq2Seq(tokenizer), rows)
    trainer.train()
    return trainer


def train(name: str, folder: Path, device: str) -> dict[str, Any]:
    """One line of training. name: `lora`, `qlora` or `full`; who; kernels."""
    method, who, *more = name.split(", ")
    package = {"liger": "liger_kernel", "flash_attention_2": "flash_attn"}.get(more[0]) if more else None
    if package and not importlib.util.find_spec(package):
        return {"result": f"not run: {package} is not installed"}
    watch = Watch()
    way = by_swift if who == "swift" else by_transformers
    trainer = way(folder, device, "full" if method == "full" else "lora", method == "qlora", more)
    losses = [line["loss"] for line in trainer.state.log_history if "loss" in line]
    rows = json.loads((folder / "encoded.json").read_text(encoding="utf-8"))
    taken, warm = watch.times[-1] - watch.times[1], int(TABLE_3["gradient_accumulation_steps"])
    measured = rows[warm : warm * STEPS]
    return {
        "tokens_per_second": sum(len(row["input_ids"]) for row in measured) / taken,
        "rows_per_second": len(measured) / taken,
        "peak_gib": peak(),
        "trained_millions": sum(p.numel() for p in trainer.model.parameters() if p.requires_grad) / 1e6,
        "first_loss": losses[0],
        "last_loss": losses[-1],
    }


def peak() -> float:
    """GiB at most: allocated by torch on a GPU, of the process on a CPU."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def questions() -> list[str]:
    """As many as are answered together, of uneven length."""
    return [" ".join(f"{n}+{k}" for k in range(4 + 4 * n)) for n in range(QUESTIONS)]


def answers_by_swift(folder: Path, device: str, tokens: int) -> dict[str, Any]:
    """Greedy answers of the engine that serves and evaluates."""
    from swift_core.contract.engine import Request
    from swift_core.job.options import Given
    from swift_core.job.prepare import prepare

    given = {"model": str(folder / "model"), "device": device, "torch_dtype": "bfloat16"}
    job = prepare("infer", [Given(name, value, "benchmark") for name, value in given.items()])
    engine = job.hook.start_engine(job=job)

    def answer(count: int) -> int:
        wanted = {"max_new_tokens": count, "temperature": 0.0, "ignore_eos": True}
        said = engine.generate([Request.of([{"role": "user", "content": text}], **wanted) for text in questions()])
        return sum(reply.completion_tokens for reply in said)

    return timed(answer, tokens)


def answers_by_transformers(folder: Path, device: str, tokens: int) -> dict[str, Any]:
    """The same of `generate`, padded."""
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model", padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(
        folder / "model", dtype=torch.bfloat16, device_map=device
    ).eval()
    texts = [f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n" for text in questions()]
    asked = tokenizer(texts, padding=True, return_tensors="pt", return_token_type_ids=False).to(device)

    def answer(count: int) -> int:
        done = model.generate(**asked, max_new_tokens=count, min_new_tokens=count, do_sample=False)
        return (done.shape[1] - asked["input_ids"].shape[1]) * len(texts)

    return timed(answer, tokens)


def timed(answer: Any, tokens: int) -> dict[str, Any]:
    """Tokens a second of `answer`, a function from tokens of an answer to all that were said; warmed up first."""
    answer(4)
    times: list[float] = []
    note(times)
    said = answer(tokens)
    note(times)
    return {"tokens_per_second": said / (times[1] - times[0]), "peak_gib": peak()}


def main() -> None:
    """Run one stage and print its figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("device", choices=("cuda", "cpu"))
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("SystemExit: torch sees no CUDA device; say --device cpu --small to try the stages on a CPU.")
    if asked.name == "material":
        found = material(asked.folder, asked.device, asked.small)
    elif asked.name.startswith("answers"):
        way = answers_by_swift if "swift" in asked.name else answers_by_transformers
        found = way(asked.folder, asked.device, 8 if asked.small else TOKENS)
    else:
        found = train(asked.name, asked.folder, asked.device)
    print("\n" + json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
