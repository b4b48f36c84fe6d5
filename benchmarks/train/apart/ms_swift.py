"""ms-swift as its users run it: `swift sft` with a model, data and a tuner. Runs in an environment of its own.

Arguments as ../limit.py. The template is chatml without a system prompt, so that rows are encoded as elsewhere.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent))  # last: `swift` is ms-swift's here, not our contestant
from marks import Marks, family, seen_dataset, targets, watch_trainer

MARKS = Marks()


def main(folder: Path, mode: str, batch: int) -> None:
    """One pass over the rows."""
    import torch
    from swift.pipelines import sft_main

    watch_trainer(MARKS)  # after the import, which replaces the Trainer's list of callbacks
    seen = seen_dataset()
    with tempfile.TemporaryDirectory() as output:
        given = {
            "model": folder / "model", "model_type": family(folder / "model"),
            "template": "chatml", "system": "", "tuner_type": mode,
            "dataset": folder / "rows.jsonl", "num_train_epochs": 1, "per_device_train_batch_size": batch,
            "gradient_accumulation_steps": 1, "learning_rate": 1e-4, "logging_steps": 5, "output_dir": output,
            "torch_dtype": "bfloat16", "gradient_checkpointing": "false", "report_to": "none", "lora_rank": 8,
            "lora_alpha": 32, "dataset_num_proc": 1, "dataloader_num_workers": 0,
            **({} if torch.cuda.is_available() else {"use_cpu": "true"}),
        }  # fmt: skip
        chosen = targets(folder / "model")
        words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
        sft_main([*words, "--target_modules", *([chosen] if isinstance(chosen, str) else chosen)])
    tokens = sum(len(row["input_ids"]) for row in seen["dataset"])
    MARKS.tell(tokens=tokens, steps=seen["state"].global_step, loss=seen["state"].log_history[-1].get("train_loss"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
