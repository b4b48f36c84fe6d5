"""Scoring heads: which task a job loads its model for, and the head for families that transformers gives none."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from swift_core.contract.components import Trainer, declared
from swift_core.contract.job import Job

SCORING = ("seq_cls", "reranker", "reward")
"""Tasks of models that give numbers for a whole text: a linear head on the hidden state of its last token."""

HEADS = ("score", "classifier")
"""How transformers' models for sequence classification call their heads."""


def task_of(job: Job) -> str:
    """What the model is loaded for: the training method's `task`, that of an adapter with a head, else the family's."""
    methods = job.many("trainer")
    wanted = declared(methods[0].component, Trainer, "task") if methods else None
    return str(wanted or ("seq_cls" if _adapter_head(job) else job.card.task))


def labels_of(job: Job) -> int | None:
    """How many numbers the head gives, where the training method or an adapter says so."""
    methods = job.many("trainer")
    said: int | None = declared(methods[0].component, Trainer, "num_labels") if methods else None
    return said or _adapter_head(job)


def _adapter_head(job: Job) -> int | None:
    """Outputs of the head that lies in the first adapter, None where it has none. The file's header says it."""
    folder = next((item.folder for item in job.many("tuner") if item.folder), None)
    config = Path(folder or "", "adapter_config.json")
    said = json.loads(config.read_text(encoding="utf-8")) if folder and config.is_file() else {}
    if not folder or said.get("task_type") != "SEQ_CLS":
        return None
    from safetensors import safe_open

    with safe_open(config.with_name("adapter_model.safetensors"), "pt") as weights:
        names = [n for n in weights.keys() if any(part in n.split(".") for part in HEADS) and n.endswith("weight")]  # noqa: SIM118
        return int(weights.get_slice(names[-1]).get_shape()[0]) if names else None


def heads_in(model: Any) -> list[str]:
    """Names of the scoring heads of a model, which adapters train whole and save."""
    if not type(model).__name__.endswith("ForSequenceClassification"):
        return []
    return [name for name, _ in model.named_children() if name in HEADS]


def scoring_class(config: Any) -> Any:
    """transformers' class for sequence classification, or one made for a family that has none (multimodal ones)."""
    import transformers

    if type(config) in transformers.AutoModelForSequenceClassification._model_mapping:
        return transformers.AutoModelForSequenceClassification
    return _made(config.__class__)


@functools.cache
def _made(config_class: type) -> Any:
    """A class for sequence classification around the family's base model, which reads media as it always does."""
    import torch
    import transformers
    from transformers.modeling_layers import GenericForSequenceClassification

    from swift_core import SwiftError

    base = transformers.AutoModel._model_mapping.get(config_class, None)
    parents = [] if base is None else [k for k in base.__mro__[1:] if issubclass(k, transformers.PreTrainedModel)]
    if not parents:
        raise SwiftError(f"There is no scoring head for {config_class.__name__}: transformers has no base model of it.")

    def from_pretrained(cls: Any, /, path: str, *, config: Any, **arguments: Any) -> Any:
        """Its own checkpoint as any other; the head of another one is new."""
        if cls.__name__ in (config.architectures or ()):
            return super(cls, cls).from_pretrained(path, config=config, **arguments)
        whole = transformers.AutoModelForImageTextToText.from_pretrained(path, config=config, **arguments)
        with torch.device("meta"):
            scorer = cls(config)
        inner = getattr(whole, cls.base_model_prefix, None)
        if type(inner) is not base:
            raise SwiftError(f"There is no scoring head for {type(whole).__name__}: its base model is not apart.")
        setattr(scorer, cls.base_model_prefix, inner)
        scorer.score = torch.nn.Linear(scorer.score.in_features, config.num_labels, bias=False, dtype=whole.dtype)
        torch.nn.init.normal_(scorer.score.weight, std=config.get_text_config().initializer_range)
        return scorer.eval()

    name = base.__name__.removesuffix("Model") + "ForSequenceClassification"
    body = {"from_pretrained": classmethod(from_pretrained), "__module__": __name__}
    return type(name, (GenericForSequenceClassification, parents[0]), body)
