"""What next-token methods train on: rows or packs, and how they are laid into batches."""

from __future__ import annotations

from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_plugin_runtime.batching.collate import pad_batch
from swift_plugin_runtime.batching.padding_free import FlatRows, probe_rows, why_joined, why_padded
from swift_plugin_runtime.encoding.arrow_cache import StoredRows
from swift_plugin_runtime.encoding.datasets import (
    EncodedRows,
    Encoder,
    LazyRows,
    PassAfterPass,
    StreamedRows,
    encode_rows,
    pack,
    row_limit,
)
from swift_plugin_runtime.encoding.media_check import media_in
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.loading.processor import pad_id_of
from swift_plugin_runtime.options import share_of, training_options


def training_rows(job: Job, rows: Any, processor: Any) -> Any:
    """The data set of rows, or of packs of rows under --packing, that the options ask for.

    Raises SwiftError for --packing without --max_length.
    """
    o, packing, limit = job.options, training_options(job).packing, row_limit(job, processor)
    if packing and limit is None:
        raise SwiftError("--packing joins rows up to --max_length tokens; say how many.")
    if o.streaming:
        shuffle = o.shuffle_buffer_size if o.dataset_shuffle else 1
        share = (*share_of(job), training_options(job).per_device_train_batch_size)
        stream = StreamedRows(rows, Encoder(job, processor), o.data_seed, shuffle, limit if packing else None, share)
        return PassAfterPass(stream)
    train = encode_rows(job, rows, processor, "training rows")
    if not packing:
        return train
    assert limit is not None  # refused above
    packs = pack(train, limit, o.data_seed)
    job.say(f"packed {len(train)} rows into {len(packs)} sequences of at most {limit} tokens")
    return packs


def longest_of(job: Job, train: Any, processor: Any) -> int | None:
    """Tokens of the longest row or pack; the limit where rows are not encoded yet, None where there is none."""
    if isinstance(train, EncodedRows | StoredRows):
        return max(train.lengths())
    return row_limit(job, processor)


def feeding(job: Job, train: Any) -> dict[str, Any]:
    """Arguments for rows that are encoded while training runs: beside the GPU; each process reads for itself."""
    workers = training_options(job).dataloader_num_workers
    late = any(isinstance(rows, LazyRows | PassAfterPass) for rows in (train, getattr(train, "rows", None)))
    if workers is None:
        workers = int(late and job.options.device != "cpu" and torch.cuda.is_available())
    own = {"accelerator_config": {"dispatch_batches": False}} if job.options.streaming else {}
    return {"dataloader_num_workers": workers, **own}


def choose_collator(job: Job, model: Any, processor: Any, rows: Any) -> FlatRows | None:
    """The collator that lays rows end to end: as asked, else wherever that is exact; the model is prepared for it.

    None where batches are padded; SwiftError with the reason where --packing or --padding_free asks in vain.
    """
    o = training_options(job)
    asked = o.packing or o.padding_free
    if asked is False:
        return None
    reason, seen = why_padded(job, model), []
    if not reason:
        seen = probe_rows(job, rows, processor)
        joined = why_joined(model, seen)
        reason = joined and f"in {type(base_of(model)).__name__} {joined}"
    if asked and reason:
        raise SwiftError(f"--{'packing' if o.packing else 'padding_free'} is not possible here: {reason}.")
    if reason:
        job.say(f"batches are padded: {reason}")
        return None
    return FlatRows(model, {key for row in seen for key in media_in(row)})


def make_collator(job: Job, model: Any, processor: Any) -> Any:
    """A function from rows to a padded batch."""
    pad_id = pad_id_of(processor)
    return lambda items: pad_batch(items, pad_id)
