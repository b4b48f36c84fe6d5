"""The level `model`: a tiny model of the family's class trains, saves, merges and answers, as real ones must."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from swift_core.contract.cards import Family
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.convert import to_row
from swift_core.job.options import Given
from swift_core.job.prepare import prepare
from swift_core.jobs.steps import attach_tuners, load_adapters, merge_adapters
from swift_testing.conformance.attempt import Failed

ROWS = [
    ("What is 1 + 2?", "The answer is 3."),
    ("What is in the picture? 你好", "A cat, of course: 世界 and more of it."),
]
SAME = 2e-4
"""Largest difference of two logits that count as the same after saving and loading."""
MERGED = 5e-3
"""Largest difference that folding an adapter into float32 weights may make."""


WRITES = ("causal_lm", "generative_reranker")
"""Tasks of models that write text."""


def rows() -> list[Row]:
    """The conversations that every family is trained on."""
    return [to_row({"query": q, "response": a, "_where": f"row {n}"}) for n, (q, a) in enumerate(ROWS)]


def train_job(card: Family, folder: str, output: str, **options: Any) -> Job:
    """An sft job with LoRA on everything that the card calls language model."""
    wanted = {"model": folder, "tuner": ["lora"], "output_dir": output, "max_steps": 2, "learning_rate": 0.01}
    quiet = {"save_strategy": "no", "lr_scheduler_type": "constant", "warmup_ratio": 0.0, "lora_rank": 4}
    quiet["max_length"] = 16384  # the tiny tokenizer makes many tokens of a long system text
    return _prepared("sft", card, {**wanted, **quiet, "per_device_train_batch_size": 2, **options})


def _prepared(name: str, card: Family, options: dict[str, Any]) -> Job:
    common = {"model_type": card.name, "device": "cpu", "torch_dtype": "float32"}
    return prepare(name, [Given(k, v, "conformance") for k, v in {**common, **options}.items()])


def check_model(card: Family, folder: str, work: Path, **options: Any) -> dict[str, Any]:
    """All checks on the checkpoint in `folder`, in order; returns figures, raises Failed. options: of its training."""
    job = train_job(card, folder, str(work / "run"), **options)
    model, tokenizer = load(job)
    batch = encoded(job, tokenizer)
    if card.task not in WRITES:
        return check_head(card, job, model, tokenizer, batch, work)
    figures = {"parameters": sum(p.numel() for p in model.parameters())}
    figures["loss"] = check_loss(job, model, tokenizer, batch)
    if set(card.modality) == {"text"}:
        figures["packing"] = packed_difference(job, model, tokenizer)
    model = attach_tuners(job, model)
    check_trained_parts(card, model)
    figures["loss_after"] = check_steps(job, model, tokenizer, batch, figures["loss"])
    check_saved(card, job, model, tokenizer, batch, work)
    return figures


# -- loading ----------------------------------------------------------------------------------------------
def load(job: Job) -> tuple[Any, Any]:
    """(model, tokenizer) through the job's loader, which must find every weight and need no other."""
    import transformers

    model, path, _ = load_whole(job)
    return model, transformers.AutoTokenizer.from_pretrained(path)


def load_whole(job: Job) -> tuple[Any, str, Any]:
    """(model, its folder, its config) through the job's hooks; every weight must be found."""
    path = job.hook.resolve_checkpoint(job=job, model=job.options.model, revision=None)
    config = job.hook.load_config(job=job, path=path)
    with complete_loading():
        model = job.hook.load_model(job=job, path=path, config=config, quantization=None)
    job.hook.patch_model(job=job, model=model)
    return model, path, config


@contextmanager
def complete_loading() -> Iterator[None]:
    """Fail where transformers reports missing, unexpected or newly made weights."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger = logging.getLogger("transformers")
    listener, level = Listener(logging.WARNING), logger.level
    logger.addHandler(listener)
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.removeHandler(listener)
        logger.setLevel(level)
    for text in heard:
        if any(w in text for w in ("MISSING", "UNEXPECTED", "MISMATCH", "newly initialized", "not used when")):
            raise Failed(f"reload: {' '.join(text.split())[:300]}")


# -- loss -------------------------------------------------------------------------------------------------
def encoded(job: Job, tokenizer: Any) -> list[dict[str, Any]]:
    """The rows through the job's `encode` hook."""
    return job.hook.encode(job=job, rows=rows(), processor=tokenizer, generation=False)


def as_batch(items: list[dict[str, Any]], tokenizer: Any) -> dict[str, Any]:
    """Encoded rows as the runtime pads them for training."""
    from swift_plugin_runtime.batching.collate import pad_batch

    return pad_batch([dict(item) for item in items], tokenizer.pad_token_id)


def logits_of(model: Any, batch: dict[str, Any]) -> Any:
    """Logits in evaluation mode: [rows, tokens, vocabulary], or [rows, scores] of a head; an encoder's last
    hidden states [rows, tokens, width]."""
    import torch

    model.eval()
    with torch.no_grad():
        return outputs_of(model, batch).float()


def outputs_of(model: Any, batch: dict[str, Any]) -> Any:
    """Logits or hidden states, with their gradients."""
    cache = {"use_cache": False} if hasattr(model, "prepare_inputs_for_generation") else {}
    made = model(**{k: v for k, v in batch.items() if k != "labels"}, **cache)
    return made.last_hidden_state if getattr(made, "logits", None) is None else made.logits


def check_loss(job: Job, model: Any, tokenizer: Any, items: list[dict[str, Any]]) -> float:
    """The trainer's loss and the model's own are the cross-entropy of our labels, one place ahead of the logits."""
    import torch

    batch = as_batch(items, tokenizer)
    logits, labels = logits_of(model, batch)[:, :-1], batch["labels"][:, 1:]
    if logits.shape[1] != labels.shape[1]:
        raise Failed(f"loss: {logits.shape[1] + 1} logits for {labels.shape[1] + 1} tokens")
    wanted = float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten()))
    trainer = job.hook.build_trainer(job=job, model=model, processor=tokenizer, rows=rows(), eval_rows=None)
    model.eval()
    with torch.no_grad():
        ours = float(trainer.compute_loss(model, dict(batch)))
        theirs = model(**batch, use_cache=False).loss
    _near("loss: the trainer's", ours, wanted)
    if theirs is None:
        raise Failed("loss: the class computes none from labels")
    if not _router_loss(model):
        _near("loss: the class's own", float(theirs), wanted)
    return round(wanted, 4)


def _router_loss(model: Any) -> bool:
    """Whether the class adds a loss that balances its experts."""
    config = model.config.get_text_config()
    return bool(getattr(config, "output_router_logits", False))


def _near(what: str, value: float, wanted: float) -> None:
    if not abs(value - wanted) < 1e-3:
        raise Failed(f"{what} is {value:.4f}, the cross-entropy of the labels {wanted:.4f}")


def packed_difference(job: Job, model: Any, tokenizer: Any) -> str:
    """Whether rows laid end to end give the logits that each gives alone: `exact`, or the largest difference."""
    import torch
    from swift_plugin_runtime.batching.collate import flat_batch

    items = encoded(job, tokenizer)
    alone = [logits_of(model, as_batch([item], tokenizer))[0] for item in items]
    try:
        together = logits_of(model, flat_batch([dict(item) for item in items]))[0]
    except (RuntimeError, ValueError, TypeError, IndexError, KeyError) as error:
        return f"{type(error).__name__}: {error}"[:120]
    apart = float((torch.cat(alone) - together).abs().max())
    return "exact" if apart < SAME else f"differs by {apart:.2g}"


# -- training ---------------------------------------------------------------------------------------------
def check_trained_parts(card: Family, model: Any) -> None:
    """Adapters sit in the language model alone, and in it."""
    trained = [n.removeprefix("base_model.model.") for n, p in model.named_parameters() if p.requires_grad]
    inside = card.modules.language_model
    towers = card.modules.towers()
    if not any(n.startswith(inside) for n in trained):
        raise Failed(f"LoRA: nothing trains under {', '.join(inside)}")
    strays = [n for n in trained if towers and n.startswith(towers)]
    if strays:
        raise Failed(f"LoRA: {strays[0]} trains although its tower is frozen")


def check_steps(job: Job, model: Any, tokenizer: Any, items: list[dict[str, Any]], before: float) -> float:
    """Two steps of the job's trainer lower the loss of the rows they saw and touch adapters alone."""
    import torch

    frozen = {n: p.detach().clone() for n, p in model.named_parameters() if not p.requires_grad}
    trainer = job.hook.build_trainer(job=job, model=model, processor=tokenizer, rows=rows(), eval_rows=None)
    trainer.train()
    moved = [n for n, p in model.named_parameters() if n in frozen and not torch.equal(p, frozen[n])]
    if moved:
        raise Failed(f"step: the frozen parameter {moved[0]} moved")
    model.eval()
    with torch.no_grad():
        after = float(trainer.compute_loss(model, as_batch(items, tokenizer)))
    if not after < before:
        raise Failed(f"step: the loss went from {before} to {after}")
    return round(after, 4)


def check_head(
    card: Family, job: Job, model: Any, tokenizer: Any, items: list[dict[str, Any]], work: Path
) -> dict[str, Any]:
    """The same for a model that scores or embeds: a loss of its task falls by three steps of its adapter."""
    import torch

    figures = {"parameters": sum(p.numel() for p in model.parameters())}
    model = attach_tuners(job, model)
    check_trained_parts(card, model)
    batch = as_batch(items, tokenizer)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4)
    losses = []
    for _ in range(4):
        model.eval()
        loss = head_loss(card.task, outputs_of(model, batch), batch)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(round(float(loss), 4))
    if not losses[-1] < losses[0]:
        raise Failed(f"step: the loss went from {losses[0]} to {losses[-1]}")
    check_saved(card, job, model, tokenizer, items, work)
    return {**figures, "loss": losses[0], "loss_after": losses[-1]}


def head_loss(task: str, outputs: Any, batch: dict[str, Any]) -> Any:
    """A loss that suits the task: two classes, the better of two answers, or two texts drawn together."""
    import torch
    from torch.nn import functional

    if task == "embedding":
        mask = batch["attention_mask"][..., None]
        first, second = (outputs * mask).sum(1) / mask.sum(1)
        return 1 - functional.cosine_similarity(first, second, dim=0)
    if task == "seq_cls":
        return functional.cross_entropy(outputs, torch.arange(len(outputs)) % outputs.shape[-1])
    return -functional.logsigmoid(outputs[0].mean() - outputs[1].mean())


# -- saving -----------------------------------------------------------------------------------------------
def check_saved(card: Family, job: Job, model: Any, tokenizer: Any, items: list[dict[str, Any]], work: Path) -> None:
    """Adapter saved and loaded, merged, saved and loaded again: the same outputs each time; then three tokens."""
    from swift_plugin_runtime.training.trainer import save_trained

    batch = as_batch(items, tokenizer)
    trained = logits_of(model, batch)
    adapter, whole = str(work / "adapter"), str(work / "merged")
    save_trained(job, model, tokenizer, adapter)
    again = _prepared("infer", card, {"model": job.options.model, "adapters": [adapter]})
    model = load_adapters(again, load(again)[0])
    _same("reload: the adapter", logits_of(model, batch), trained, SAME)
    model = merge_adapters(again, model)
    _same("merge: the model", logits_of(model, batch), trained, MERGED)
    again.hook.save_model(job=again, model=model, processor=tokenizer, folder=whole)
    merged = load(_prepared("infer", card, {"model": whole}))[0]
    _same("reload: the merged model", logits_of(merged, batch), logits_of(model, batch), SAME)
    left = [name for name in card.extra_files if Path(name).suffix and not Path(whole, name).exists()]
    if left:
        raise Failed(f"save: {left[0]} was left behind")
    if card.task in WRITES:
        check_answer(job, merged, tokenizer)


def _same(what: str, other: Any, wanted: Any, most: float) -> None:
    apart = float((other - wanted).abs().max())
    if not apart <= most:
        raise Failed(f"{what} gives other logits, by {apart:.2g}")


def check_answer(job: Job, model: Any, tokenizer: Any) -> None:
    """The prompt's ids go in, three new ones come out."""
    import torch

    prompt = job.hook.encode(job=job, rows=rows()[:1], processor=tokenizer, generation=True)[0]
    ids = torch.tensor([prompt["input_ids"]])
    mask = torch.ones_like(ids)
    made = model.generate(
        input_ids=ids, attention_mask=mask, max_new_tokens=3, min_new_tokens=3, do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    if made.shape != (1, ids.shape[1] + 3) or not torch.equal(made[:, : ids.shape[1]], ids):
        raise Failed(f"generate: {tuple(made.shape)} ids from a prompt of {ids.shape[1]}")
