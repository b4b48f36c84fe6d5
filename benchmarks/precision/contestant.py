"""One run of one contestant, in its own environment: `python contestant.py NAME FOLDER MODE SETTINGS OUTPUT`.

SETTINGS is JSON: what all share, under the names of transformers.TrainingArguments, and what the scheme adds. Nothing
is said of precision but by the scheme. The report holds the run's own evaluations and the seconds of a step.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parent.parent / "train"))  # last: `swift` may be ms-swift there
from marks import Marks, seen_dataset, watch_trainer
from products import help_out

LORA = {"r": 8, "lora_alpha": 32, "lora_dropout": 0.0, "target_modules": "all-linear"}


class Steps(Marks):
    """Marks, with the end of the last step: before evaluation and saving."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.latest = 0, 0.0

    def step(self) -> None:
        """A step has ended."""
        super().step()
        self.count, self.latest = self.count + 1, time.process_time()

    def per_step(self) -> float:
        """CPU seconds of a step, the first left out."""
        return (self.latest - self.first) / (self.count - 1)


def swift(folder: Path, mode: str, given: dict[str, Any], output: str) -> None:
    """swift-core, by `swift sft`."""
    from swift_core import run

    extra = {key: given.pop(key) for key in ("eval_on_start",)}
    run(
        "sft", model=str(folder / "model"), template="chatml", dataset=[str(folder / "rows.jsonl")], tuner=[mode],
        val_dataset=[str(folder / "held.jsonl")], output_dir=output, device="cpu", training_args=extra,
        data_seed=given["seed"], **given,
    )  # fmt: skip


def trainer(folder: Path, mode: str, given: dict[str, Any], output: str) -> None:
    """transformers' Trainer and PEFT: the model as from_pretrained gives it."""
    import peft
    import transformers
    from limit import encode

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model")
    if mode == "lora":
        model = peft.get_peft_model(model, peft.LoraConfig(**LORA, task_type="CAUSAL_LM"))
    files = [[json.loads(line) for line in (folder / f"{name}.jsonl").open()] for name in ("rows", "held")]
    rows, held = ([{"input_ids": i, "labels": n} for i, n in encode(tokenizer, rows)] for rows in files)
    transformers.Trainer(
        model=model, args=transformers.TrainingArguments(output, use_cpu=True, eval_strategy="steps", **given),
        train_dataset=rows, eval_dataset=held, data_collator=transformers.DataCollatorForSeq2Seq(tokenizer),
    ).train()  # fmt: skip


def trl(folder: Path, mode: str, given: dict[str, Any], output: str) -> None:
    """TRL's SFTTrainer, with the model by name."""
    import datasets
    import peft
    import trl

    rows, held = (
        datasets.Dataset.from_list([json.loads(line) for line in (folder / f"{name}.jsonl").open()])
        for name in ("rows", "held")
    )
    arguments = trl.SFTConfig(
        output, use_cpu=True, eval_strategy="steps", assistant_only_loss=True, gradient_checkpointing=False, **given
    )
    trl.SFTTrainer(
        model=str(folder / "model"), args=arguments, train_dataset=rows, eval_dataset=held,
        peft_config=peft.LoraConfig(**LORA, task_type="CAUSAL_LM") if mode == "lora" else None,
    ).train()  # fmt: skip


def ms_swift(folder: Path, mode: str, given: dict[str, Any], output: str) -> None:
    """ms-swift, by its `swift sft`."""
    from swift.pipelines import sft_main

    watch_trainer(STEPS)  # anew: the import replaces the Trainer's list of callbacks
    SEEN.append(seen_dataset())
    words = {
        "model": folder / "model", "model_type": "llama", "template": "chatml", "system": "", "tuner_type": mode,
        "dataset": folder / "rows.jsonl", "val_dataset": folder / "held.jsonl", "output_dir": output,
        "gradient_accumulation_steps": 1, "gradient_checkpointing": False, "use_cpu": True,
        "dataset_num_proc": 1, "dataloader_num_workers": 0, "target_modules": "all-linear", "lora_rank": LORA["r"],
        "lora_alpha": LORA["lora_alpha"], "lora_dropout": LORA["lora_dropout"], **given,
    }  # fmt: skip
    sft_main([word for key, value in words.items() for word in (f"--{key}", str(value))])


def llamafactory(folder: Path, mode: str, given: dict[str, Any], output: str) -> None:
    """LLaMA-Factory."""
    from llamafactory.train.tuner import run_exp

    columns = {
        "formatting": "sharegpt", "columns": {"messages": "messages"},
        "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
    }  # fmt: skip
    files = {name: {"file_name": f"{name}.jsonl", **columns} for name in ("rows", "held")}
    (folder / "dataset_info.json").write_text(json.dumps(files))
    run_exp({
        "stage": "sft", "do_train": True, "model_name_or_path": str(folder / "model"), "dataset_dir": str(folder),
        "dataset": "rows", "eval_dataset": "held", "template": "chatml", "finetuning_type": mode,
        "lora_rank": LORA["r"], "lora_alpha": LORA["lora_alpha"], "lora_target": "all", "output_dir": output,
        "eval_strategy": "steps", "use_cpu": True, "disable_gradient_checkpointing": True, **given,
    })  # fmt: skip


STEPS = Steps()
SEEN: list[dict[str, Any]] = []


def main(name: str, folder: Path, mode: str, given: dict[str, Any], output: str) -> None:
    """Train, and tell the run's own evaluations: the first, before training, and the last."""
    help_out()
    if name == "swift":
        import swift_plugin_runtime.training.trainer  # noqa: F401  as the job does; the Trainer that is watched is its
    watch_trainer(STEPS)
    SEEN.append(seen_dataset())
    {f.__name__: f for f in (swift, trainer, trl, ms_swift, llamafactory)}[name](folder, mode, given, output)
    losses = [line["eval_loss"] for line in SEEN[-1]["state"].log_history if "eval_loss" in line]
    checkpoint = max(Path(output).rglob(f"checkpoint-{given['max_steps']}"))
    STEPS.tell(before=losses[0], trained=losses[-1], per_step=STEPS.per_step(), checkpoint=str(checkpoint))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]), sys.argv[5])
