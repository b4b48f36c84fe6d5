"""What goes on beside the steps: the bar, the log and its curves, the tuners' own work, the count of tokens."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import transformers
from tqdm import tqdm

from swift_core.contract.job import Job
from swift_plugin_runtime.training.plots import plot_log
from swift_plugin_runtime.training.untouched import say_untouched

LOG_FILE = "logging.jsonl"

SHOWN = {
    "loss": "loss",
    "eval_loss": "eval_loss",
    "learning_rate": "lr",
    "reward": "reward",
    "tokens_per_second": "tokens/s",
}
"""Figures in the progress bar, and how they are called there; tqdm itself shows the time left."""


class Progress(transformers.TrainerCallback):
    """A bar with loss, learning rate, tokens per second and time left; a JSONL log; curves at the end."""

    def __init__(self, folder: str):
        self.folder = Path(folder)
        self.bar: Any = None
        self.started = 0.0
        self.failed = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        for name in ("logging_steps", "eval_steps", "save_steps"):  # a resumed state has those it was saved with
            setattr(state, name, getattr(args, name))
        if state.is_world_process_zero:
            self.folder.mkdir(parents=True, exist_ok=True)
            _forget_after(self.folder / LOG_FILE, state.global_step)
            self.bar = tqdm(total=state.max_steps, initial=state.global_step, desc="training", unit="step")
            self.started = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.bar is not None:
            self.bar.update(state.global_step - self.bar.n)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
        if self.bar is None or not logs:
            return
        shown = {SHOWN[k]: f"{v:.3g}" for k, v in logs.items() if k in SHOWN}
        self.bar.set_postfix(shown, refresh=False)
        line = {"step": state.global_step, **logs, "seconds": round(time.monotonic() - self.started, 3)}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / LOG_FILE).open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")
        except OSError as error:  # a log is no reason to lose a run
            if not self.failed:
                tqdm.write(
                    f"{self.folder / LOG_FILE} cannot be written ({error.strerror}); training goes on without it"
                )
            self.failed = True

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.bar is not None:
            self.bar.close()
            try:
                plot_log(self.folder / LOG_FILE, self.folder / "curves.png")
            except ImportError as error:  # nor are curves
                tqdm.write(f"curves.png is not drawn ({error}); the figures are in {self.folder / LOG_FILE}")


def _forget_after(file: Path, step: int) -> None:
    """Take lines of steps that are trained again out of the log, as a resume begins before them."""
    if not file.is_file():
        return
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in lines if _step_of(line) <= step]
    if len(kept) < len(lines):
        staging = file.with_name(f".{file.name}.writing")
        staging.write_text("".join(kept), encoding="utf-8")
        os.replace(staging, file)


def _step_of(line: str) -> float:
    """The step of a log line; of one that was cut off, after all others."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")


class TunerSteps(transformers.TrainerCallback):
    """Tells the tuners when an optimizer step begins and when it is taken."""

    def __init__(self, job: Job):
        self.job, self.seen = job, False

    def on_step_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        self._tell(self.job.hook.before_step, state, given)

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        if not self.seen:
            self.seen = True
            say_untouched(self.job, given["model"])
        self._tell(self.job.hook.after_step, state, given)

    def _tell(self, hook: Any, state: Any, given: dict[str, Any]) -> None:
        optimizer = getattr(given["optimizer"], "optimizer", given["optimizer"])
        step, total = state.global_step, state.max_steps
        hook(job=self.job, model=given["model"], optimizer=optimizer, step=step, total=total)


class Speed:
    """Counts the tokens that go through the model, padding left out, and the time between two questions."""

    def __init__(self) -> None:
        self.tokens: Any = 0
        self.since = time.monotonic()

    def add(self, inputs: Any) -> None:
        """Count a batch, or the batches in it."""
        if not isinstance(inputs, dict):
            return
        if "input_ids" in inputs:
            seen = inputs.get("attention_mask")
            # a sum stays on its device until it is asked for: training does not wait for the count
            self.tokens = self.tokens + (inputs["input_ids"].numel() if seen is None or seen.dim() != 2 else seen.sum())
        else:
            for value in inputs.values():
                self.add(value)

    def take(self) -> float:
        """Tokens per second on this process since the last call."""
        now = time.monotonic()
        speed = float(self.tokens) / max(now - self.since, 1e-6)
        self.tokens, self.since = 0, now
        return speed
