"""`--new_special_tokens`: special tokens that the checkpoint does not know, with rows of their own that train.

A new row begins as the mean of the old ones, so that the token is neither likely nor unlikely at first (as
transformers grows embeddings, without its draw). The same base model and the same option therefore give the same rows
in every job, and an adapter holds nothing but what it changed of them.
"""

from __future__ import annotations

from typing import Any

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_plugin_runtime.loading.layers import base_of

NOTE = "swift_new_tokens"
"""The attribute of a model that holds the ids of its new tokens."""


def add_tokens(tokenizer: Any, tokens: list[str]) -> list[int]:
    """Let the tokenizer know the tokens as special ones; those that it has keep their place. Returns their ids."""
    if tokens:
        tokenizer.add_special_tokens({"additional_special_tokens": tokens}, replace_extra_special_tokens=False)
    return [int(number) for number in tokenizer.convert_tokens_to_ids(tokens)]


def grow(job: Job, model: Any, tokenizer: Any) -> None:
    """Give the model rows for the job's new tokens, input and head; a tied head stays tied.

    tokenizer: the checkpoint's own, still without them. Raises SwiftError for a head with biases, which PEFT leaves
    out where it trains rows.
    """
    tokens = job.options.new_special_tokens
    there = tokenizer.get_vocab()
    known = [token for token in tokens if token in there]
    if known:
        job.say(f"--new_special_tokens: the checkpoint has {' '.join(known)} already; their rows go on from there.")
    ids = add_tokens(tokenizer, tokens)
    setattr(model, NOTE, ids)
    fresh = [number for token, number in zip(tokens, ids, strict=True) if token not in there]
    if not fresh:
        return
    if max(fresh) >= model.get_input_embeddings().weight.shape[0]:
        model.resize_token_embeddings(max(fresh) + 1, mean_resizing=False)
    for table in (model.get_input_embeddings(), model.get_output_embeddings()):
        if table is not None:
            _begin_at_mean(table, fresh)


def _begin_at_mean(table: Any, fresh: list[int]) -> None:
    """Set the new rows of an embedding or a head to the mean of those before them."""
    import torch

    if getattr(table, "bias", None) is not None:
        raise SwiftError("--new_special_tokens: the model's head has biases, for which new tokens are not supported.")
    with torch.no_grad():
        table.weight[fresh] = table.weight[: min(fresh)].float().mean(0).to(table.weight.dtype)


def rows_to_train(model: Any) -> dict[str, list[int]] | None:
    """PEFT's `trainable_token_indices`: the new rows of the embeddings, and of a head that is not tied to them.

    None where the model has no new tokens, or an earlier tuner trains their rows.
    """
    base = base_of(model)
    ids = getattr(base, NOTE, None)
    if not ids:
        return None
    table, head = base.get_input_embeddings(), base.get_output_embeddings()
    if _trains(table):
        return None
    names = {id(module): name for name, module in base.named_modules()}
    tables = [table] if head is None or head.weight is table.weight else [table, head]
    return {names[id(module)]: list(ids) for module in tables}


def check_rows_train(job: Job, model: Any, tokenizer: Any) -> None:
    """Say where the job's new tokens train in the embeddings alone.

    SwiftError where the model has no rows for them, or the tuner does not train them.
    """
    if not getattr(job.options, "new_special_tokens", None):
        return
    base = base_of(model)
    table, head = base.get_input_embeddings(), base.get_output_embeddings()
    names = " ".join(item.entry.name for item in job.many("tuner"))
    if table.weight.shape[0] < len(tokenizer):
        raise SwiftError(f"--new_special_tokens: the loader {job.options.loader!r} has not grown the embeddings.")
    if not _trains(table):
        raise SwiftError(
            f"--new_special_tokens: nothing trains the new rows beside --tuner {names}. LoRA and its relatives do, "
            "full and freeze where they reach the embeddings, and so does the tuner trainable_tokens."
        )
    if head is not None and not (_trains(head) or head.weight is table.weight):
        job.say(
            f"--new_special_tokens: beside --tuner {names} the head's new rows stay at the mean, so that the model "
            "learns to read the tokens and not to write them"
        )


def _trains(module: Any) -> bool:
    return any(p.requires_grad for p in module.parameters())
