"""LLaMA-Factory as its users run it, padded. Runs in an environment of its own. Arguments as ../limit.py."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

sys.path[:1] = []  # this script's folder holds a file called as the package is
sys.path.append(str(Path(__file__).parent.parent))
from marks import Marks, seen_dataset, targets, watch_trainer  # noqa: E402

MARKS = Marks()

COLUMNS = {
    "file_name": "rows.jsonl", "formatting": "sharegpt", "columns": {"messages": "messages"},
    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"},
}  # fmt: skip


def readable(model: Path, place: Path) -> Path:
    """A copy of the model whose tokenizer an older transformers can read: its class had another name."""
    shutil.copytree(model, place)
    file = place / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "tokenizer_class": "PreTrainedTokenizerFast"}))
    return place


def main(folder: Path, mode: str, batch: int) -> None:
    """One pass over the rows."""
    os.environ["DISABLE_VERSION_CHECK"] = "1"
    watch_trainer(MARKS)
    seen = seen_dataset()
    import torch
    from llamafactory.train.tuner import run_exp

    pure = mode != "lora" and torch.cuda.is_available()  # on a CPU it knows float32 weights under autocast alone
    chosen = targets(folder / "model")
    named = ",".join(chosen) if isinstance(chosen, list) else "all"
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "rows.jsonl").symlink_to(folder / "rows.jsonl")
        model = readable(folder / "model", Path(place, "model"))
        (Path(place) / "dataset_info.json").write_text(json.dumps({"rows": COLUMNS}))
        run_exp({
            "stage": "sft", "do_train": True, "model_name_or_path": str(model), "dataset_dir": place,
            "dataset": "rows", "template": "chatml", "finetuning_type": mode, "lora_rank": 8, "lora_alpha": 32,
            "lora_target": named, "cutoff_len": 4096, "output_dir": f"{place}/output", "num_train_epochs": 1,
            "per_device_train_batch_size": batch, "learning_rate": 1e-4, "logging_steps": 5, "report_to": "none",
            "lr_scheduler_type": "cosine", "bf16": not pure, "pure_bf16": pure, "disable_gradient_checkpointing": True,
            "use_cpu": not torch.cuda.is_available(),
        })  # fmt: skip
    tokens = sum(len(row["input_ids"]) for row in seen["dataset"])
    MARKS.tell(tokens=tokens, steps=seen["state"].global_step, loss=seen["state"].log_history[-1].get("train_loss"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
