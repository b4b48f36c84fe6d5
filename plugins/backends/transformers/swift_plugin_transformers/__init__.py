"""Inference with transformers in this process: the engine of the runtime, over a model loaded with its adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from swift_core import hookimpl
from swift_core.contract.components import Backend
from swift_core.contract.job import Job
from swift_core.inference.conversation import served_name
from swift_core.jobs.steps import load_adapters, load_model, merge_adapters

if TYPE_CHECKING:
    from swift_core.contract.engine import Engine


@dataclass(kw_only=True, eq=False)
class TransformersBackend(Backend):
    """Answers with transformers in this process: batched, streaming, adapters by name."""

    swift_api = 1

    @hookimpl
    def start_engine(self, job: Job) -> Engine:
        from swift_plugin_runtime.inference.adapters import Adapters
        from swift_plugin_runtime.inference.engine import TransformersEngine
        from swift_plugin_runtime.inference.packed import pack
        from swift_plugin_runtime.scoring.scorer import ScoringEngine, gives_numbers

        model, processor = load_model(job)
        scores = gives_numbers(job, model)  # before PEFT wraps it: its wrapper always generates
        model = load_adapters(job, model)
        if scores:
            return ScoringEngine(job, model, processor)
        if job.options.merge_lora:
            model = merge_adapters(job, model)
        most = getattr(job.options, "max_batch_size", 8)
        engine = TransformersEngine(
            job, model.eval(), processor, served_name(job.options), Adapters(job, model), max_batch_size=most
        )
        pack(model)  # behind the engine's proofs, which look into the weights
        return engine
