"""swift-core as a user runs it: `swift sft` with a model, data, a tuner and nothing else. Arguments as limit.py."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from marks import Marks, last_loss, targets, watch_trainer

MARKS = Marks()


def main(folder: Path, mode: str, batch: int) -> None:
    """One pass over the rows, with logging and a checkpoint at the end."""
    import swift_plugin_runtime.training.trainer  # noqa: F401  as the job does; the Trainer that is watched comes with it

    watch_trainer(MARKS)
    from swift_core import run

    chosen = targets(folder / "model")
    more = {"target_modules": chosen} if mode == "lora" and isinstance(chosen, list) else {}
    with tempfile.TemporaryDirectory() as output:
        done = run(
            "sft", model=str(folder / "model"), dataset=[str(folder / "rows.jsonl")], template="chatml", tuner=[mode],
            per_device_train_batch_size=batch, num_train_epochs=1, output_dir=output, **more,
        )  # fmt: skip
        trainer = done["trainer"]
        tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
        MARKS.tell(tokens=tokens, steps=trainer.state.global_step, loss=last_loss(trainer.state.log_history))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
