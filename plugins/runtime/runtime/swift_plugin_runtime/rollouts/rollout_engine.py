"""Which engine answers in rollouts: one over the model under training, or a server that follows the policy."""

from __future__ import annotations

import secrets
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list

from swift_core.contract.engine import Engine, RolloutEngine
from swift_core.inference.conversation import served_name
from swift_plugin_runtime.encoding.datasets import row_limit
from swift_plugin_runtime.inference.engine import TransformersEngine

POLICIES = ".rollouts"
"""The folder in the output folder from which a server reads the policy."""


class PolicyEngine:
    """The engine that answers with the policy as it is now.

    Under --rollout_backend a server follows the policy: its weights are `policy-RUN-STEP`, and every answer must name
    them. save: writes the policy alone into a folder, as a server loads it.
    """

    def __init__(self, trainer: Any, save: Callable[[str], None]):
        self.trainer, self.job, self.save = trainer, trainer.job, save
        self.root = Path(self.job.options.output_dir, POLICIES).resolve()
        self.run = ""
        self.step: int | None = None
        self.server: RolloutEngine | None = None

    def current(self) -> Engine:
        """The engine, with the policy of this step; every process must come here."""
        return self._followed() if self.job.options.rollout_backend else self.own()

    def own(self) -> Engine:
        """An engine over the model under training itself."""
        processor = self.trainer.processing_class
        window = row_limit(self.job, processor) or sys.maxsize
        return TransformersEngine(self.job, self.trainer.model, processor, served_name(self.job.options), window=window)

    def _followed(self) -> RolloutEngine:
        """The server, brought to the policy of this step; a collective over the processes, none if it is there."""
        step = self.trainer.state.global_step
        if self.server is None or step != self.step:
            self.run = self.run or _from_first(secrets.token_hex(4))
            version = f"policy-{self.run}-{step}"
            folder = self.root / version
            self.save(str(folder))
            self.server = self._brought(str(folder), version)
            self.step = step
        return self.server

    def _brought(self, folder: str, version: str) -> RolloutEngine:
        wait, first = self.trainer.accelerator.wait_for_everyone, self.trainer.accelerator.is_main_process
        wait()
        server = self.server or self._start(folder, first)
        server.follow(folder if first else None, version)
        if first:
            shutil.rmtree(folder)
        wait()
        return server

    def _start(self, folder: str, first: bool) -> RolloutEngine:
        processor = self.trainer.processing_class
        start = partial(self.job.hook.start_rollouts, job=self.job, folder=folder, processor=processor)
        server: RolloutEngine | None = start(address=None) if first else None
        self.server = server
        address = _from_first(server.address if server else None)
        return server or start(address=address)

    def close(self) -> None:
        """Stop the server; the next rollout would start another."""
        if self.server is not None:
            self.server.close()
        self.server = self.step = None
        if self.job.options.rollout_backend and self.trainer.accelerator.is_main_process:
            shutil.rmtree(self.root, ignore_errors=True)


def _from_first(value: Any) -> Any:
    """The first process's value, on all of them."""
    return broadcast_object_list([value])[0]
