"""Plain transformers with PEFT, and TRL, as their users set them up. `python peers.py NAME FOLDER MODE BATCH`.

trainer: transformers' Trainer, padded. flattening: the same with its flattening collator. trl: SFTTrainer, padded.
trl-free: SFTTrainer with padding_free.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from marks import Marks, last_loss, targets, watch_trainer

MARKS = Marks()

COMMON = {
    "num_train_epochs": 1, "learning_rate": 1e-4, "logging_steps": 5, "report_to": [], "use_cpu": True,
    "max_grad_norm": 1.0, "lr_scheduler_type": "cosine",
}  # fmt: skip


def lora(peft, mode, model):
    """LoRA on what all contestants put it on, or nothing."""
    if mode != "lora":
        return None
    return peft.LoraConfig(r=8, lora_alpha=32, target_modules=targets(model), task_type="CAUSAL_LM")


def by_trainer(folder: Path, mode: str, batch: int, flat: bool):
    """transformers' Trainer."""
    import peft
    import transformers
    from limit import encode

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    config = lora(peft, mode, folder / "model")
    model = peft.get_peft_model(model, config) if config else model
    rows = encode(tokenizer, [json.loads(line) for line in (folder / "rows.jsonl").open()])
    data = [{"input_ids": ids, "labels": labels} for ids, labels in rows]
    padded = transformers.DataCollatorForSeq2Seq(tokenizer, padding=True)
    collator = transformers.DataCollatorWithFlattening() if flat else padded
    with tempfile.TemporaryDirectory() as output:
        arguments = transformers.TrainingArguments(
            output_dir=output, per_device_train_batch_size=batch, bf16=mode == "lora", disable_tqdm=True, **COMMON
        )
        trainer = transformers.Trainer(model=model, args=arguments, train_dataset=data, data_collator=collator)
        trainer.train()
    return trainer, sum(len(ids) for ids, _ in rows)


def by_trl(folder: Path, mode: str, batch: int, flat: bool):
    """TRL's SFTTrainer."""
    import datasets
    import peft
    import transformers
    import trl

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype="auto")
    rows = datasets.Dataset.from_list([json.loads(line) for line in (folder / "rows.jsonl").open()])
    with tempfile.TemporaryDirectory() as output:
        arguments = trl.SFTConfig(
            output_dir=output, per_device_train_batch_size=batch, bf16=mode == "lora", assistant_only_loss=True,
            padding_free=flat, max_length=None, gradient_checkpointing=False, disable_tqdm=True, **COMMON,
        )  # fmt: skip
        trainer = trl.SFTTrainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            processing_class=tokenizer,
            peft_config=lora(peft, mode, folder / "model"),
        )
        trainer.train()
    return trainer, sum(len(row["input_ids"]) for row in trainer.train_dataset)


def main(name: str, folder: Path, mode: str, batch: int) -> None:
    """One pass over the rows."""
    watch_trainer(MARKS)
    flat = name in ("flattening", "trl-free")
    trainer, tokens = (by_trl if name.startswith("trl") else by_trainer)(folder, mode, batch, flat)
    MARKS.tell(tokens=tokens, steps=trainer.state.global_step, loss=last_loss(trainer.state.log_history))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
