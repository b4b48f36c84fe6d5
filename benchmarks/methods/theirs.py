"""TRL's trainers with the same rows in the same order. `python theirs.py METHOD FOLDER BATCH`."""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from marks import Marks, watch_trainer
from material import DRAWING, PICTURED, PICTURED_TEMPLATE, TEMPLATE, answered, chat, picture, prompts, read, real_tokens

MARKS = Marks()

SHARED = {
    "num_train_epochs": 1, "learning_rate": 1e-4, "lr_scheduler_type": "cosine", "logging_steps": 1, "report_to": [],
    "use_cpu": True, "bf16": True, "gradient_checkpointing": False, "disable_tqdm": True, "weight_decay": 0.0,
    "train_sampling_strategy": "sequential",
}  # fmt: skip
CLASSES = {
    "dpo": ("trl", "DPO"), "kto": ("trl", "KTO"), "rm": ("trl", "Reward"), "orpo": ("trl.experimental.orpo", "ORPO"),
    "cpo": ("trl.experimental.cpo", "CPO"), "gkd": ("trl.experimental.gkd", "GKD"), "grpo": ("trl", "GRPO"),
    "rloo": ("trl", "RLOO"), "qlora": ("trl", "SFT"), "sft-pictures": ("trl", "SFT"), "dpo-pictures": ("trl", "DPO"),
}  # fmt: skip
"""Method → module of TRL, beginning of the names of its trainer and its config."""
DRAWN = {
    "num_generations": 8, "max_completion_length": 32, "beta": 0.04, "temperature": 1.0,
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2,
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {
    "dpo": {"max_length": None}, "kto": {"max_length": None}, "rm": {"max_length": None},
    "orpo": {"max_length": 2048}, "cpo": {"max_length": 2048}, "gkd": {"max_length": 2048, "lmbda": 0.0},
    "grpo": DRAWN, "rloo": DRAWN, "qlora": {"max_length": None, "assistant_only_loss": False, "bf16": False},
    **{name + PICTURED: {"max_length": None, "bf16": False} for name in ("sft", "dpo")},
}  # fmt: skip
"""Method → settings of its own."""
LANGUAGE = r".*language_model.*_proj"
"""Layers with LoRA in a model with pictures."""


def rows(method: str, folder: Path) -> list[dict[str, Any]]:
    """The pairs as rows of TRL's conversational data sets."""

    def parts(row: dict[str, Any], side: str) -> tuple[Any, Any]:
        talk = chat(row, side)
        return talk[:1], talk[1:]

    if method in DRAWING:
        return [{"prompt": chat(row)[:1]} for row in prompts(folder)]
    made = []
    for row in read(folder):
        prompt, chosen = parts(row, "chosen")
        if method == "kto":
            made.append({"prompt": prompt, "completion": parts(row, answered(row))[1], "label": row["label"]})
        elif method == "gkd":
            made.append({"messages": chat(row)})
        elif method in ("qlora", "sft-pictures"):
            made.append({"prompt": prompt, "completion": chosen})
        else:
            made.append({"prompt": prompt, "chosen": chosen, "rejected": parts(row, "rejected")[1]})
    if method.endswith(PICTURED):
        from PIL import Image

        made = [{**row, "images": [Image.open(picture(folder, number))]} for number, row in enumerate(made)]
    return made


def longer(completions: list[Any], **_: Any) -> list[float]:
    """A reward that costs nothing: characters."""
    return [float(len(completion[0]["content"])) for completion in completions]


def loaded(method: str, folder: Path) -> Any:
    """The model; a reward model has a head of one number."""
    import torch
    import transformers

    if method == "rm":
        return transformers.AutoModelForSequenceClassification.from_pretrained(
            folder / "model", dtype=torch.bfloat16, num_labels=1
        )
    if method == "qlora":
        bits = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.float32,
        )  # fmt: skip
        return transformers.AutoModelForCausalLM.from_pretrained(folder / "model", quantization_config=bits)
    if method.endswith(PICTURED):
        return transformers.AutoModelForImageTextToText.from_pretrained(folder / "vision")
    return transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.bfloat16)


def processor_of(method: str, folder: Path) -> Any:
    """The tokenizer, or the processor of pictures and text, with the template of all contestants."""
    import transformers

    if method.endswith(PICTURED):  # transformers' own loader wants torchvision, which is for videos
        from swift_plugin_runtime.loading.processor import load_processor

        processor = load_processor(str(folder / "vision"), trust=False)
        processor.chat_template = PICTURED_TEMPLATE
    else:
        processor = transformers.AutoTokenizer.from_pretrained(folder / "model")
        processor.chat_template = TEMPLATE
    return processor


def main(method: str, folder: Path, batch: int) -> None:
    """One pass over the rows."""
    import datasets
    import peft

    watch_trainer(MARKS)
    module, name = CLASSES[method]
    library = importlib.import_module(module)
    tokenizer = processor_of(method, folder)
    model = loaded(method, folder)
    task = "SEQ_CLS" if method == "rm" else "CAUSAL_LM"
    targets = LANGUAGE if method.endswith(PICTURED) else "all-linear"
    lora = peft.LoraConfig(r=8, lora_alpha=32, target_modules=targets, task_type=task)
    more: dict[str, Any] = {"reward_funcs": longer} if method in DRAWING else {}
    if method == "gkd":
        more["teacher_model"] = str(folder / "teacher")
    kind = getattr(library, f"{name}Trainer")
    if method in DRAWING:
        MARKS.watch_drawing(kind, "_generate")
    with tempfile.TemporaryDirectory() as output:
        settings = {"per_device_train_batch_size": batch, **SHARED, **OPTIONS[method]}
        trainer = kind(
            model=model, args=getattr(library, f"{name}Config")(output_dir=output, **settings),
            train_dataset=datasets.Dataset.from_list(rows(method, folder)), processing_class=tokenizer,
            peft_config=lora, **more,
        )  # fmt: skip
        trainer.train()
    tell(method, folder, trainer, tokenizer)


def tell(method: str, folder: Path, trainer: Any, tokenizer: Any) -> None:
    """The report: tokens, steps, losses; of drawn answers their tokens."""
    history = [line for line in trainer.state.log_history if "loss" in line]
    tokens = real_tokens(method, folder, tokenizer)
    if method in DRAWING:
        tokens = round(sum(line["completions/mean_length"] for line in history) * 2 * DRAWN["num_generations"])
    MARKS.tell(tokens=tokens, steps=trainer.state.global_step, losses=[line["loss"] for line in history])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
