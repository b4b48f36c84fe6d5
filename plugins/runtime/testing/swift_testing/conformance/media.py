"""The level `media`: pictures, videos and sound through the family's real processor into a tiny real model.

Each modality is checked by itself, in the order of `CHECKS`, through the same hooks that a job calls.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swift_core.contract.cards import Family
from swift_core.contract.job import Job
from swift_core.contract.row import Row
from swift_core.data.convert import to_row
from swift_core.templates.encode import IGNORED
from swift_core.templates.render import spans_of
from swift_testing.conformance.attempt import Failed, attempt
from swift_testing.conformance.models import (
    WRITES,
    as_batch,
    head_loss,
    load_whole,
    logits_of,
    outputs_of,
    train_job,
)
from swift_testing.conformance.processors import rule_of

SEEN = 1e-5
"""Logits that differ by no more than this do not depend on what was changed."""

BATCHED = 2e-3
"""Largest difference that a row's logits may have between a batch and the row alone."""

COLUMNS = {"image": "images", "video": "videos", "audio": "audios"}
"""Modality → column of a row that holds its media."""

ANSWERS = ("A cat, of course: 世界.", "Two dogs.\n\nAnd a bird.")


@dataclass(frozen=True)
class Bench:
    """One family under test. writes: the model writes text, so that labels and loss can
    be checked. single: its template knows one round. most: media that a row may hold."""

    card: Family
    job: Job
    model: Any
    processor: Any
    writes: bool
    modality: str
    single: bool
    most: int

    @property
    def tokenizer(self) -> Any:
        """The tokenizer inside the processor."""
        return self.processor.tokenizer

    def encode(self, *rows: Row, generation: bool = False) -> list[dict[str, Any]]:
        """Rows through the job's `encode` hook."""
        return self.job.hook.encode(job=self.job, rows=list(rows), processor=self.processor, generation=generation)

    def batch(self, *items: dict[str, Any]) -> dict[str, Any]:
        """Encoded rows as the runtime pads them."""
        return as_batch(list(items), self.tokenizer)

    def logits(self, *items: dict[str, Any]) -> Any:
        """Logits of encoded rows in one batch."""
        return logits_of(self.model, self.batch(*items))


def check_media(card: Family, folder: str, work: Path) -> tuple[dict[str, str], str]:
    """(modality → `passed`, or what failed first, for every medium that the card reads; whether rows pack).

    The latter is empty where a medium failed: it would say nothing of that one.
    """
    job = train_job(card, folder, str(work / "media"), enable_thinking=False)
    model, processor = load(job)
    single, lone = bool(job.one("template").single), rule_of(card).get("one", ())
    writes = card.task in WRITES
    outcomes = {}
    for modality in (m for m in card.modality if m != "text"):
        bench = Bench(card, job, model, processor, writes, modality, single, 1 if modality in lone else 2)
        outcomes[modality] = check_modality(bench)
    if any(outcome != "passed" for outcome in outcomes.values()):
        return outcomes, ""
    return outcomes, packing_of(job, model, processor, [one(m, seed) for m in outcomes for seed in (1, 2)])


def packing_of(job: Job, model: Any, processor: Any, rows: list[Row]) -> str:
    """`exact` where rows laid end to end keep the logits that each has alone, else why they are padded."""
    from swift_plugin_runtime.batching.padding_free import keep_rows_apart, probe_rows, why_padded

    reason = why_padded(job, model)
    if reason is None and not keep_rows_apart(model, probe_rows(job, rows, processor)):
        reason = "one row reaches into the next"
    return reason or "exact"


def load(job: Job) -> tuple[Any, Any]:
    """(model, processor) through the job's hooks; every weight must be found."""
    model, path, config = load_whole(job)
    return model, job.hook.load_processor(job=job, path=path, config=config)


def check_modality(bench: Bench) -> str:
    """`passed`, or `check: reason` of the first check that fails."""
    for check in CHECKS:
        reason = attempt(functools.partial(check, bench))
        if reason:
            return f"{check.__name__.removeprefix('check_')}: {reason}"
    return "passed"


# -- rows -------------------------------------------------------------------------------------------------
def medium(modality: str, seed: int, large: bool = False) -> Any:
    """A picture, four frames or a second of sound, of random values. large: of another size."""
    import numpy as np

    random = np.random.default_rng(seed)
    if modality == "audio":
        return (random.standard_normal(24000 if large else 16000) * 0.1).astype("float32")
    from PIL import Image

    width, height = (168, 112) if large else (112, 112)
    if modality == "video":
        return random.integers(0, 256, (4, height, width, 3), dtype="uint8")
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype="uint8"))


def one(modality: str, seed: int = 1) -> Row:
    """A question about one medium, which stands first."""
    return _row([f"<{modality}>What is it?", ANSWERS[0]], modality, [medium(modality, seed)])


def several(bench: Bench) -> Row:
    """Two rounds with two media of different sizes, the second in the middle of its question.

    A template of one round has both in its only question.
    """
    modality = bench.modality
    if bench.most == 1:
        return _row([f"Look at <{modality}>, please.", ANSWERS[0]], modality, [medium(modality, 3, large=True)])
    media = [medium(modality, 2), medium(modality, 3, large=modality != "video")]
    if bench.single:
        return _row([f"<{modality}>Compare it with <{modality}>, please.", ANSWERS[1]], modality, media)
    turns = [f"<{modality}>What is it?", ANSWERS[0], f"And here <{modality}>, what do you see?", ANSWERS[1]]
    return _row(turns, modality, media)


def text_only() -> Row:
    """A conversation without media, for mixed batches."""
    return _row(["What is 1 + 2?", "The answer is 3."], "", [])


def _row(turns: list[str], modality: str, media: list[Any]) -> Row:
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(turns)]
    columns = {COLUMNS[modality]: media} if media else {}
    return to_row({"messages": messages, "_where": "row", **columns})


# -- checks -----------------------------------------------------------------------------------------------
def check_encoding(bench: Bench) -> None:
    """The processor takes the medium and expands its placeholder; the prompt is how the training row begins."""
    row = bench.encode(one(bench.modality))[0]
    prompt = bench.encode(one(bench.modality), generation=True)[0]["input_ids"]
    if row["input_ids"][: len(prompt)] != prompt:
        raise Failed("the prompt is not how the training row begins")


def check_labels(bench: Bench) -> None:
    """Trained tokens spell the answers, and nothing of questions or media."""
    for row in (one(bench.modality), several(bench)):
        item = bench.encode(row)[0]
        wrong = [
            label
            for token, label in zip(item["input_ids"], item["labels"], strict=True)
            if label not in (token, IGNORED)
        ]
        if wrong:
            raise Failed(f"{len(wrong)} labels are not the ids at their places")
        ids = [label for label in item["labels"] if label != IGNORED]
        wanted = _trained_text(bench, row)
        trained = bench.tokenizer.decode(ids)
        if _plain(trained) != _plain(wanted):
            raise Failed(f"trained is {trained!r}, not {wanted!r}")


def _trained_text(bench: Bench, row: Row) -> str:
    spans = spans_of(bench.job, row.with_system(bench.job.options.system), bench.tokenizer)
    return "".join(span.text for span in spans if span.weight > 0)


def _plain(text: str) -> str:
    return "".join(text.split())


def check_sight(bench: Bench) -> None:
    """Another medium of the same size gives the same ids and other logits: the model sees it."""
    first, second = (bench.encode(one(bench.modality, seed))[0] for seed in (1, 7))
    if first["input_ids"] != second["input_ids"]:
        raise Failed("media of one size take different tokens")
    apart = float((bench.logits(first) - bench.logits(second)).abs().max())
    if not apart > SEEN:
        raise Failed(f"the model answers alike whatever the {bench.modality} shows")


def check_order(bench: Bench) -> None:
    """Of two media the second acts behind the first, or exchanging them shows: each stands in its own place."""
    if bench.most == 1:
        return
    items = [bench.encode(_pair(bench, *seeds))[0] for seeds in ((4, 5), (6, 5), (4, 6))]
    if any(item["input_ids"] != items[0]["input_ids"] for item in items):
        raise Failed("media of one size take different tokens")
    base, first, second = (bench.logits(item)[0] for item in items)
    if base.dim() < 2:
        return
    places = [((other - base).abs().amax(-1) > SEEN).nonzero().flatten().tolist()[:1] for other in (first, second)]
    if not places[0] or not places[1]:
        raise Failed(f"the model does not see {'both' if places[0] else 'either'} of two {COLUMNS[bench.modality]}")
    if not (places[0] < places[1] or (places[0] == places[1] and _swap_shows(bench, base))):
        raise Failed(f"the first medium acts from token {places[0][0]} on, the second from {places[1][0]}")


def _swap_shows(bench: Bench, base: Any) -> bool:
    """Whether exchanging the two changes the logits: all there is to go by where media see each other."""
    swapped = bench.logits(bench.encode(_pair(bench, 5, 4))[0])[0]
    return float((base - swapped).abs().max()) > SEEN


def _pair(bench: Bench, *seeds: int) -> Row:
    tag = f"<{bench.modality}>"
    media = [medium(bench.modality, seed) for seed in seeds]
    return _row([f"First {tag} and then {tag} it is?", ANSWERS[0]], bench.modality, media)


def check_loss(bench: Bench) -> None:
    """The trainer's loss is the cross-entropy of our labels, one place ahead of the logits."""
    import torch

    items = bench.encode(several(bench))
    batch = bench.batch(*items)
    logits, labels = bench.logits(*items), batch["labels"]
    if logits.dim() != 3 or not bench.writes:
        return
    if logits.shape[1] != labels.shape[1]:
        raise Failed(f"{logits.shape[1]} logits for {labels.shape[1]} tokens")
    wanted = float(torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten()))
    trainer = bench.job.hook.build_trainer(
        job=bench.job, model=bench.model, processor=bench.processor, rows=[several(bench)], eval_rows=None
    )
    bench.model.eval()
    with torch.no_grad():
        loss = float(trainer.compute_loss(bench.model, dict(batch)))
    if not abs(loss - wanted) < 1e-3:
        raise Failed(f"the trainer's is {loss:.4f}, the cross-entropy of the labels {wanted:.4f}")


def check_causal(bench: Bench) -> None:
    """No token of an answer sees what follows it, as in training: else the loss is learnt by looking ahead."""
    import torch

    if not bench.writes:
        return
    item = bench.encode(one(bench.modality))[0]
    start = next(n for n, label in enumerate(item["labels"]) if label != IGNORED)
    other = {**item, "input_ids": [*item["input_ids"][:-1], bench.tokenizer.pad_token_id]}
    bench.model.train()
    logits = []
    for row in (item, other):
        torch.manual_seed(0)
        with torch.no_grad():
            logits.append(outputs_of(bench.model, bench.batch(row))[:, start - 1 : -1].float())
    apart = float((logits[0] - logits[1]).abs().max())
    if not apart < BATCHED:
        raise Failed(f"the last token changes the logits of earlier ones, by {apart:.2g}")


def check_mixed(bench: Bench) -> None:
    """A batch of a row of text, one with one medium and one with two: each row as when it stands alone."""
    rows = [text_only(), one(bench.modality), several(bench)]
    items = [bench.encode(row)[0] for row in rows]
    together = bench.logits(*items)
    for number, item in enumerate(items):
        alone = bench.logits(item)[0]
        batched = together[number] if alone.dim() < 2 else together[number, : len(alone)]
        apart = float((batched - alone).abs().max())
        if not apart <= BATCHED:
            raise Failed(f"row {number + 1} of a mixed batch has other logits than alone, by {apart:.2g}")


def check_gradients(bench: Bench) -> None:
    """The loss reaches the tower that reads the medium, and the language model."""
    modules = bench.card.modules
    towers = modules.audio_tower if bench.modality == "audio" else modules.vision_tower
    bench.model.zero_grad(set_to_none=True)
    bench.model.requires_grad_(True)
    bench.model.eval()
    batch = bench.batch(bench.encode(several(bench))[0], bench.encode(one(bench.modality))[0])
    outputs = outputs_of(bench.model, batch)
    _loss(bench, outputs, batch).backward()
    names = [n for n, p in bench.model.named_parameters() if p.grad is not None and p.grad.abs().max() > 0]
    bench.model.zero_grad(set_to_none=True)
    for part, prefixes in (("tower", towers), ("language model", modules.language_model)):
        if not any(n.startswith(prefixes) for n in names):
            raise Failed(f"no gradient reaches the {part} ({', '.join(prefixes)})")


def _loss(bench: Bench, outputs: Any, batch: dict[str, Any]) -> Any:
    import torch

    if not bench.writes:
        return head_loss(bench.card.task, outputs, batch)
    return torch.nn.functional.cross_entropy(outputs[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())


def check_truncation(bench: Bench) -> None:
    """A row that is too long is dropped whole, whatever the strategy: a cut would leave features without tokens."""
    from swift_plugin_runtime.encoding.datasets import fit

    item = bench.encode(one(bench.modality))[0]
    for strategy in ("left", "right", "delete"):
        if fit(item, len(item["input_ids"]) - 1, strategy, "row") is not None:
            raise Failed(f"truncation_strategy {strategy} cuts a row with media")


def check_answer(bench: Bench) -> None:
    """Two tokens are generated behind the prompt."""
    import torch

    if not bench.writes:
        return
    prompt = bench.encode(one(bench.modality), generation=True)[0]
    batch = {k: v for k, v in bench.batch(prompt).items() if k != "labels"}
    bench.model.eval()
    with torch.no_grad():
        made = bench.model.generate(
            **batch, max_new_tokens=2, min_new_tokens=2, do_sample=False, pad_token_id=bench.tokenizer.pad_token_id
        )
    if made.shape[1] != batch["input_ids"].shape[1] + 2:
        raise Failed(f"{tuple(made.shape)} ids from a prompt of {batch['input_ids'].shape[1]}")


CHECKS: tuple[Callable[[Bench], None], ...] = (
    check_encoding,
    check_labels,
    check_sight,
    check_order,
    check_loss,
    check_causal,
    check_mixed,
    check_gradients,
    check_truncation,
    check_answer,
)
"""In order; a modality passes when all of them do."""
