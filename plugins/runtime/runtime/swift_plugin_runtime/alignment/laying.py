"""How the answers that a method compares are laid out: end to end behind their prompts wherever that is exact."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import Any

from swift_core.contract.job import Job
from swift_plugin_runtime.batching.attention import NAME
from swift_plugin_runtime.batching.padding_free import FlatRows, probe_rows, set_attention, why_joined, why_never_flat
from swift_plugin_runtime.batching.separation import why_not_shared
from swift_plugin_runtime.batching.shared_rows import BESIDE, Join, LaidRows, PaddedRows
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.loading.processor import pad_id_of
from swift_plugin_runtime.options import share_of, training_options
from swift_plugin_runtime.training.feeding import choose_collator
from swift_plugin_runtime.training.fused_loss import fuse_logps


def choose_join(
    job: Job, model: Any, processor: Any, rows: Any, beside: Collection[str] = BESIDE, teacher: Any = None
) -> Join:
    """From encoded rows to batches of a method that compares answers; the model is prepared for them.

    They are padded where it is not exact to lay them end to end, which is said with the reason; so it is where prompts
    cannot be shared. rows: of the data, some of which are tried where they have media. beside: keys of a row that the
    model does not see. teacher: another model that is given the same batches. Raises SwiftError where --padding_free
    asks in vain.
    """
    padded = PaddedRows(pad_id_of(processor))
    if share_of(job)[1] != int(os.environ.get("WORLD_SIZE", "1")):
        job.say("batches are padded: several processes share the work of each row")
        return padded
    flat = choose_collator(job, model, processor, rows)
    if flat is None or not _takes_flat(job, teacher, processor, rows):
        return padded
    fuse_logps(model, training_options(job).fused_loss)
    reason = _why_not_shared(model, flat) or (teacher is not None and _why_not_shared(teacher, flat))
    if reason:
        job.say(f"a prompt is computed once for each of its answers: {reason}")
    elif any(row.media for row in rows):
        job.say("a prompt with media is computed once for each of its answers")
    return LaidRows(flat, not reason, beside)


def _takes_flat(job: Job, teacher: Any, processor: Any, rows: Any) -> bool:
    """Whether another model takes the same flat batches, if there is one; it is prepared for them."""
    if teacher is None:
        return True
    reason = why_never_flat(teacher) or why_joined(teacher, probe_rows(job, rows, processor))
    if reason:
        job.say(f"batches are padded: in the teacher {reason}")
    return not reason


def _why_not_shared(model: Any, flat: FlatRows) -> str | None:
    name = base_of(model).config.get_text_config()._attn_implementation
    if name != NAME:
        return f"the attention {name} has no keys of other rows"
    return why_not_shared(model, flat)


def lay_as(copy: Any, model: Any, fused: str) -> None:
    """Give another copy of a model the attention and the head of that model. fused: --fused_loss."""
    if base_of(model).config.get_text_config()._attn_implementation == NAME:
        set_attention(base_of(copy), NAME)
        fuse_logps(copy, fused)
