"""A checkpoint that reads conversations and answers with numbers, loaded once for the life of a job."""

from __future__ import annotations

from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job


def loaded(job: Job, source: str, load: Any) -> tuple[Any, Any]:
    """(model, tokenizer) of `source` from the job's memory, by `load()` where they are not there yet."""
    key = ("reward model", source)
    if key not in job.memo:
        job.memo[key] = load()
    return job.memo[key]


def load(job: Job, source: str, auto_class: Any, dtype: str, device: str | None) -> tuple[Any, Any]:
    """(model in eval mode without gradients, tokenizer); SwiftError where it has no chat template to read by."""
    import torch
    from transformers import AutoTokenizer

    path = job.hook.resolve_checkpoint(job=job, model=source, revision=None)
    trust = job.options.trust_remote_code
    model = auto_class.from_pretrained(path, dtype=dtype, trust_remote_code=trust)
    tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=trust)
    if not tokenizer.chat_template:
        raise SwiftError(f"{source} has no chat template, by which it would read a conversation.")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    model.config.pad_token_id = tokenizer.pad_token_id
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return model.eval().requires_grad_(False).to(where), tokenizer
