"""Join the shards of a checkpoint that was saved with --async_save: what is left is a plain checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

from swift_core import SwiftError, hookimpl
from swift_core.contract.components import Exporter
from swift_core.contract.job import Job
from swift_core.jobs.steps import load_model
from swift_core.jobs.tuners import attach_tuner
from swift_core.jobs.writing import source_of, writing


@dataclass(kw_only=True, eq=False)
class Consolidate(Exporter):
    """Joins the shards that the processes of a run wrote (--async_save): the weights as one process saves them."""

    swift_api = 1

    @hookimpl
    def export_model(self, job: Job) -> str:
        from swift_plugin_runtime.training.sharded_saving import join
        from swift_plugin_runtime.training.sharding import answering

        items = [c for c in job.many("tuner") if c.folder]
        if not items:
            raise SwiftError("There are no shards to join. Say --ckpt_dir with a checkpoint of --async_save.")
        with writing(job, "consolidated") as place:
            model, processor = load_model(job)
            for item in items:  # they may change which weights there are
                model = attach_tuner(job, model, item)
            state = join(model, source_of(job))
            with answering(model, state_dict=lambda *_, **__: state):
                job.hook.save_model(job=job, model=model, processor=processor, folder=str(place.staging))
            job.write_lock(place.staging)
        return str(place.final)
