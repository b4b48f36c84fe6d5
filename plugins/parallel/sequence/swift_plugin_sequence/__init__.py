"""Sequence parallelism: each process holds a part of every row's tokens, and losses and gradients stay the same."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from swift_core import SwiftError, Unsupported, hookimpl, option
from swift_core.contract.components import Parallel
from swift_core.contract.job import Job

_MEDIA = Unsupported("the tokens of a picture, video or sound are not cut yet; rows of text are.")


@dataclass(kw_only=True, eq=False)
class Sequence(Parallel):
    """The tokens of each row are shared among processes; attention sees whole rows (Ulysses, arXiv 2309.14509)."""

    swift_api = 1
    capabilities = {"image": _MEDIA, "video": _MEDIA, "audio": _MEDIA}

    sequence_parallel_size: int = option(1, "Processes that share the tokens of each row.", ge=1)

    @property
    def active(self) -> bool:  # type: ignore[override]  # it depends on the options
        """Whether rows are shared."""
        return self.sequence_parallel_size > 1

    @hookimpl
    def check_job(self, job: Job) -> None:
        """Refuse sizes that cannot be, as soon as the number of processes is known."""
        from swift_plugin_runtime.training.mesh import process_counts

        size = self.sequence_parallel_size
        if not (job.options.launcher or "LOCAL_RANK" in os.environ):
            raise SwiftError(
                f"--sequence_parallel_size {size} shares rows among processes; say how many: --launcher torchrun."
            )
        for processes in process_counts(job):
            if processes % size:
                raise SwiftError(
                    f"--sequence_parallel_size {size} does not divide the {processes} processes of this job."
                )
        if job.options.attn_impl not in (None, "sdpa"):
            raise SwiftError(
                f"--sequence_parallel_size cuts the attention of torch (sdpa), not {job.options.attn_impl}; leave "
                "--attn_impl out."
            )

    @hookimpl
    def data_share(self) -> tuple[int, int]:
        size = self.sequence_parallel_size
        return int(os.environ["RANK"]) // size, int(os.environ["WORLD_SIZE"]) // size

    @hookimpl(tryfirst=True)  # it is proven on whole weights
    def split_model(self, model: Any, device: Any) -> str:
        from swift_plugin_sequence.cut import share_rows

        return share_rows(model, device, self.sequence_parallel_size)
