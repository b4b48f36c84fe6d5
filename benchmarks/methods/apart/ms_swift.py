"""ms-swift as its users run it: `swift rlhf --rlhf_type METHOD`. `python ms_swift.py METHOD FOLDER BATCH`.

The template is chatml without a system prompt, so that rows are encoded as elsewhere.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

METHODS = Path(__file__).parent.parent
sys.path += [str(METHODS), str(METHODS.parent / "train")]  # last: `swift` is ms-swift's here, not our contestant
from marks import Marks, family, seen_dataset, watch_trainer  # noqa: E402
from material import answered, chat, prompts, read, real_tokens  # noqa: E402

MARKS = Marks()

SHARED = {
    "template": "chatml", "system": "", "tuner_type": "lora", "lora_rank": 8, "lora_alpha": 32,
    "target_modules": "all-linear", "num_train_epochs": 1, "learning_rate": 1e-4, "warmup_ratio": 0,
    "weight_decay": 0, "adam_beta2": 0.999, "lr_scheduler_type": "cosine", "logging_steps": 1,
    "torch_dtype": "bfloat16", "gradient_checkpointing": "false", "report_to": "none", "dataset_num_proc": 1,
    "dataloader_num_workers": 0, "dataset_shuffle": "false", "train_dataloader_shuffle": "false", "use_cpu": "true",
}  # fmt: skip
DRAWN = {
    "num_generations": 8, "max_completion_length": 32, "beta": 0.04, "reward_funcs": "repetition", "temperature": 1.0,
    "per_device_train_batch_size": 8, "gradient_accumulation_steps": 2, "use_vllm": "false",
}  # fmt: skip
OPTIONS: dict[str, dict[str, Any]] = {"gkd": {"lmbda": 0}, "grpo": DRAWN}
"""Method → settings of its own."""


def rows(method: str, folder: Path) -> list[dict[str, Any]]:
    """The pairs as rows of ms-swift's data format."""
    if method == "grpo":
        return [{"messages": chat(row)[:1]} for row in prompts(folder)]
    if method == "kto":
        return [{"messages": chat(row, answered(row)), "label": row["label"]} for row in read(folder)]
    return [
        {"messages": chat(row)} | ({} if method == "gkd" else {"rejected_response": row["rejected"]})
        for row in read(folder)
    ]


def main(method: str, folder: Path, batch: int) -> None:
    """One pass over the rows."""
    import transformers
    from swift.pipelines import rlhf_main

    watch_trainer(MARKS)  # after the import, which replaces the Trainer's list of callbacks
    seen = seen_dataset()
    with tempfile.TemporaryDirectory() as output:
        data = Path(output, "rows.jsonl")
        data.write_text("".join(json.dumps(row) + "\n" for row in rows(method, folder)), encoding="utf-8")
        model = folder / "model"
        given = {
            "rlhf_type": method, "model": model, "model_type": family(model), "dataset": data, "output_dir": output,
            "per_device_train_batch_size": batch, "gradient_accumulation_steps": 1, **SHARED, **OPTIONS.get(method, {}),
        }  # fmt: skip
        if method == "gkd":
            given |= {"teacher_model": folder / "teacher", "teacher_model_type": family(model)}
        rlhf_main([word for key, value in given.items() for word in (f"--{key}", str(value))])
    tell(method, folder, seen["state"], transformers.AutoTokenizer.from_pretrained(model))


def tell(method: str, folder: Path, state: Any, tokenizer: Any) -> None:
    """The report: tokens, steps, losses; of drawn answers their tokens."""
    history = [line for line in state.log_history if "loss" in line]
    tokens = real_tokens(method, folder, tokenizer)
    if method == "grpo":
        tokens = round(sum(line["completions/mean_length"] for line in history) * 2 * DRAWN["num_generations"])
    MARKS.tell(tokens=tokens, steps=state.global_step, losses=[line["loss"] for line in history])


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
