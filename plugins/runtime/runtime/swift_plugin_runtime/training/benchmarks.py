"""Benchmarks measured while a model trains, on that very model, and the best checkpoint by one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import transformers
from accelerate.utils import broadcast_object_list

from swift_core import SwiftError
from swift_core.contract.errors import did_you_mean
from swift_core.evaluation.reports import shown
from swift_core.inference.conversation import served_name
from swift_core.jobs.measuring import gather
from swift_plugin_runtime.inference.engine import TransformersEngine
from swift_plugin_runtime.measured import evaluation_job
from swift_plugin_runtime.options import training_options

FOLDER = "benchmarks"
"""The folder in the output folder with a folder of reports for each step at which was measured."""


class Benchmarks(transformers.TrainerCallback):
    """Measures every `--eval_benchmark_steps` steps and after the last, and notes which step was the best.

    The model under training answers through an engine over itself; a program outside asks it over HTTP meanwhile.
    """

    def __init__(self, trainer: Any):
        self.trainer, self.job = trainer, trainer.job
        self.options = training_options(self.job)
        self.steps = self.options.eval_benchmark_steps or self.options.eval_steps or self.options.save_steps
        self.engine: TransformersEngine | None = None
        self.begun = False
        if not trainer.answers:
            raise SwiftError("--eval_benchmarks asks for answers, and this method trains a model that gives none.")

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step % self.steps and state.global_step < state.max_steps:
            return
        figures = self._on_all_ranks(state.global_step)
        if figures:
            due = control.should_log  # a line about the step itself, which this one must not replace
            self.trainer.log({f"eval_{name}": value for name, value in figures.items()})
            control.should_log = due
            self._judge(figures, state, control)

    def _on_all_ranks(self, step: int) -> dict[str, float]:
        """What the first process measured, on all of them; {} where measuring failed, which is said.

        Raises SwiftError where the first measurement of the run fails.
        """
        outcome: list[Any] = [None]
        if self.trainer.is_world_process_zero():
            try:
                outcome = [self._measured(step)]
            except SwiftError as error:
                outcome = [error]
        (found,) = broadcast_object_list(outcome)
        if isinstance(found, SwiftError):
            if not self.begun:
                raise found
            self.job.say(f"step {step}: the benchmarks could not be measured, and training goes on. {found}")
            return {}
        self.begun = True
        figures: dict[str, float] = found
        return figures

    def _measured(self, step: int) -> dict[str, float]:
        job = evaluation_job(self.job, self.options, Path(self.job.options.output_dir, FOLDER, f"step-{step}"))
        with self.trainer.averaged():
            reports = gather(job, self._engine())["reports"]
        for report in reports:
            told = ", ".join(f"{name} {shown(report, name, value)}" for name, value in report["metrics"].items())
            self.job.say(f"step {step}: {report['name']}: {told}")
        every = ((f"{r['name']}/{m}", value) for r in reports for m, value in r["metrics"].items())
        return {name: value for name, value in every if value is not None}

    def _engine(self) -> TransformersEngine:
        """An engine over the model under training, as it is now."""
        model = self.trainer.accelerator.unwrap_model(self.trainer.policy())
        if self.engine is None or self.engine.model is not model:
            name = served_name(self.job.options)
            self.engine = TransformersEngine(self.job, model, self.trainer.processing_class, name)
        self.engine.forget()
        return self.engine

    def _judge(self, figures: dict[str, float], state: Any, control: Any) -> None:
        """Note the best step, save it, and stop where it was long ago."""
        if not self.options.best_by_benchmark:
            return
        value = self._figure(figures)
        sign = 1 if self.options.greater_is_better else -1
        if state.best_metric is None or sign * value > sign * state.best_metric:
            state.best_metric, state.best_global_step = value, state.global_step
            control.should_save = True
        patience = self.options.early_stopping_patience
        if patience and state.global_step - state.best_global_step >= patience * self.steps:
            control.should_training_stop = True

    def _figure(self, figures: dict[str, float]) -> float:
        """The figure that `--metric_for_best_model` names: NAME/METRIC, or NAME for its first metric."""
        wanted = str(self.options.metric_for_best_model)
        for name, value in figures.items():
            if name == wanted or name.startswith(f"{wanted}/"):
                return value
        raise SwiftError(
            f"--metric_for_best_model {wanted}: there is no such figure.{did_you_mean(wanted, figures)} "
            f"There are: {', '.join(figures)}."
        )
