"""Who draws the answers of a rollout: the model under training itself, or a server that follows it."""

from __future__ import annotations

import dataclasses
import secrets
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from swift_core.contract.job import Job
from swift_plugin_runtime.alignment.reference import AlignmentTrainer
from swift_plugin_runtime.loading.processor import tokenizer_of
from swift_plugin_runtime.rollouts.rollout import (
    Completion,
    Drawer,
    Prompt,
    Sampling,
    completion_of,
    draw,
    end_of_answer,
    media_tokens,
)

POLICIES = ".rollouts"
"""The folder in the output folder from which a server reads the policy."""


class DrawingTrainer(AlignmentTrainer):
    """A method that draws answers while it trains."""

    def __init__(self, job: Job, *arguments: Any, **named: Any):
        super().__init__(job, *arguments, **named)
        self.served = ServedPolicy(self) if job.options.rollout_backend else None

    def drawer(self) -> Drawer:
        """What draws with the policy as it is now; every process must come here."""
        if self.served is None:
            return partial(draw, self.job, self.model, self.processing_class)
        self.served.follow()
        return self.served.draw

    def save_policy(self, folder: str | None) -> None:
        """The policy alone, as a server loads it."""
        self.save_model(folder)

    def train(self, *arguments: Any, **named: Any) -> Any:
        """As the base class; the server ends with it, however it ends."""
        try:
            return super().train(*arguments, **named)
        finally:
            if self.served is not None:
                self.served.close()


class ServedPolicy:
    """A server that follows the policy: its weights are `policy-RUN-STEP`, and every answer must name them."""

    def __init__(self, trainer: Any):
        self.trainer, self.job = trainer, trainer.job
        self.root = Path(self.job.options.output_dir, POLICIES).resolve()
        self.run = self.version = ""
        self.step: int | None = None
        self.engine: Any = None

    def follow(self) -> None:
        """Bring the server to the policy of this step; a collective over the processes, none if it is there."""
        step = self.trainer.state.global_step
        if step == self.step:
            return
        self.run = self.run or _from_first(secrets.token_hex(4))
        version = f"policy-{self.run}-{step}"
        folder = self.root / version
        self.trainer.save_policy(str(folder))
        self._bring(str(folder), version)
        self.version, self.step = version, step

    def _bring(self, folder: str, version: str) -> None:
        wait, first = self.trainer.accelerator.wait_for_everyone, self.trainer.accelerator.is_main_process
        wait()
        if self.engine is None:
            self._start(folder, first)
        if first:
            self.engine.follow(folder, version)
            shutil.rmtree(folder)
        wait()

    def _start(self, folder: str, first: bool) -> None:
        start = partial(self.job.hook.start_rollouts, job=self.job, folder=folder)
        if first:
            self.engine = start(address=None)
        address = _from_first(self.engine.address if first else None)
        if not first:
            self.engine = start(address=address)

    def draw(self, prompts: list[Prompt], how: Sampling, seed: int) -> list[Completion]:
        """One answer to each prompt; SwiftError where other weights than the policy's drew it."""
        processor = self.trainer.processing_class
        ends, _ = end_of_answer(self.job, tokenizer_of(processor))
        banned = media_tokens(self.trainer.model.config)
        told = {**dataclasses.asdict(how), "ends": ends, "banned": banned, "seed": seed}
        drawn = self.engine.draw([p.inputs["input_ids"] for p in prompts], self.version, told)
        return [completion_of(self.job, processor, p, ids, ends, None) for p, ids in zip(prompts, drawn, strict=True)]

    def close(self) -> None:
        """Stop the server; the next rollout would start another."""
        if self.engine is not None:
            self.engine.close()
        self.engine = self.step = None
        if self.trainer.accelerator.is_main_process:
            shutil.rmtree(self.root, ignore_errors=True)


def _from_first(value: Any) -> Any:
    """The first process's value, on all of them."""
    return broadcast_object_list([value])[0]
