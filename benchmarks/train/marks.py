"""What every contestant reports: CPU seconds from the end of its first step to the end of training."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


def family(model: Path) -> str:
    """The family of a model as its config.json says it, which is what most programs call it."""
    said: str = json.loads((model / "config.json").read_text(encoding="utf-8"))["model_type"]
    return said


def targets(model: Path) -> list[str] | str:
    """What LoRA is put on: all linear layers, but of a model with experts those of its attention.

    Experts are single layers for some contestants and one tensor for others.
    """
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    experts = any(name in config for name in ("num_experts", "num_local_experts"))
    return ["q_proj", "k_proj", "v_proj", "o_proj"] if experts else "all-linear"


class Marks:
    """CPU seconds of this process when it began training, after the first step, and at the end."""

    def __init__(self) -> None:
        self.start = self.first = self.last = self.drawn = 0.0

    def begun(self) -> None:
        """Training starts: everything before was imports, loading and encoding."""
        self.start = time.process_time()

    def step(self) -> None:
        """A step has ended; only the first is kept."""
        self.first = self.first or time.process_time()

    def ended(self) -> None:
        """Training, logging and saving have ended."""
        self.last = time.process_time()

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Inside, answers are drawn."""
        start = time.process_time()
        yield
        self.drawn += time.process_time() - start

    def watch_drawing(self, owner: Any, name: str) -> None:
        """Have every call of `owner`'s function `name` count as drawing."""
        before = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            with self.drawing():
                return before(*arguments, **named)

        setattr(owner, name, watched)

    def tell(self, **more: object) -> None:
        """The report, as the last line of output."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        figures = {"steps_seconds": self.last - self.first, "to_first_step": self.first, "peak": peak}
        figures |= {"drawing_seconds": self.drawn} if self.drawn else {}
        print("\n" + json.dumps({**figures, **more}), flush=True)


def last_loss(history: list[dict[str, Any]]) -> float | None:
    """The last loss that a Trainer logged while it trained; None in a run too short for one."""
    return next((line["loss"] for line in reversed(history) if "loss" in line), None)


def watch_trainer(marks: Marks) -> None:
    """Have every transformers Trainer of this process report to `marks`."""
    import transformers.trainer

    class Watch(transformers.TrainerCallback):
        def on_train_begin(self, *_: object, **__: object) -> None:
            marks.begun()

        def on_step_end(self, *_: object, **__: object) -> None:
            marks.step()

        def on_train_end(self, *_: object, **__: object) -> None:
            marks.ended()

    transformers.trainer.DEFAULT_CALLBACKS.append(Watch)


def seen_dataset() -> dict[str, Any]:
    """A dict that gets the encoded `dataset` and the `state` of the next Trainer of this process to train."""
    import transformers.trainer

    seen: dict[str, Any] = {}

    class See(transformers.TrainerCallback):
        def on_train_begin(self, _: object, state: object, *__: object, **found: Any) -> None:
            seen.update(state=state, dataset=found["train_dataloader"].dataset)

    transformers.trainer.DEFAULT_CALLBACKS.append(See)
    return seen
