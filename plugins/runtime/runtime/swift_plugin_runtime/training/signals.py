"""A signal that asks the process to end: the step is finished and a whole checkpoint saved, then training stops."""

from __future__ import annotations

import signal
import threading
from typing import Any

import transformers

SIGNALS = ("SIGTERM", "SIGINT", "SIGUSR1")
"""What ends a run: from schedulers and Docker; from Ctrl-C; Slurm's warning (`--signal=USR1@60`)."""


class StopOnSignal(transformers.TrainerCallback):
    """Saves and stops at the end of the step in which a signal came; a second Ctrl-C ends the process at once.

    Handlers are in place while training runs, in the main thread. Of several processes all stop at the same step.
    """

    def __init__(self, trainer: Any):
        self.trainer = trainer
        self.came: int | None = None
        self.before: dict[int, Any] = {}

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if threading.current_thread() is not threading.main_thread():
            self.trainer.job.say("--save_on_signal has no effect: Python tells signals to the main thread alone")
            return
        for number in (getattr(signal, name) for name in SIGNALS if hasattr(signal, name)):
            self.before[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: Any) -> None:
        if self.came is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        again = " Ctrl-C again ends it at once; nothing is saved then." if number == signal.SIGINT else ""
        if self.came is None:
            self.trainer.job.say(f"{signal.Signals(number).name}: saving a checkpoint after this step.{again}")
        self.came = number

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        number = self._agreed(args)
        if number is not None and state.global_step < state.max_steps:
            self.trainer.stopped_by = number
            control.should_save = control.should_training_stop = True

    def _agreed(self, args: Any) -> int | None:
        """The signal that came to any of the processes, on all of them."""
        if args.world_size == 1:
            return self.came
        sent = self.trainer.over_ranks(
            [float(args.process_index == n) * (self.came or 0) for n in range(args.world_size)]
        )
        return int(sent.max()) or None

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.leave()

    def leave(self) -> None:
        """Give the signals back to whoever had them."""
        for number, handler in self.before.items():
            signal.signal(number, handler)
        self.before = {}
