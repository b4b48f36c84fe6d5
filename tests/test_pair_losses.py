"""Every loss over pairs on real rows, text and pictures: what the trainer gives is the formula worked row by row."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle, with_pictures

PAIRS = [
    {"query": "What is the answer?", "response": "It is here.", "rejected_response": "The picture is in the city."},
    {"query": "add 1 2", "response": "3", "rejected_response": "1 2 add add"},
]


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x))


def odds(p: float) -> float:
    return math.log(math.exp(p) / (1 - math.exp(p)))


def cpo(c: Any, r: Any) -> float:
    """arXiv 2401.08417 eq. 7 with β 0.3 and α 0.5."""
    return -log_sigmoid(0.3 * (c["logp"] - r["logp"])) - 0.5 * c["mean"]


def simpo(c: Any, r: Any) -> float:
    """arXiv 2405.14734 eq. 6 with β 2 and γ 0.7."""
    return -log_sigmoid(2 * c["mean"] - 2 * r["mean"] - 0.7)


def orpo(c: Any, r: Any) -> float:
    """arXiv 2403.07691 eqs. 6, 7 with λ 0.2."""
    return -c["mean"] - 0.2 * log_sigmoid(odds(c["mean"]) - odds(r["mean"]))


def mpo(c: Any, r: Any) -> float:
    """arXiv 2411.10442 eq. 1: 0.8 DPO, 0.2 BCO (whose shift is 0 here), 1 imitation, β 0.1."""
    ahead = [0.1 * (side["logp"] - side["before"]) for side in (c, r)]
    return -0.8 * log_sigmoid(ahead[0] - ahead[1]) - 0.2 * (log_sigmoid(ahead[0]) + log_sigmoid(-ahead[1])) - c["mean"]


def reference_free(c: Any, r: Any) -> float:
    """DPO with a reference that finds every answer equally likely."""
    return -log_sigmoid(0.1 * (c["logp"] - r["logp"]))


METHODS: dict[str, tuple[Any, dict[str, Any]]] = {
    "cpo": (cpo, {"beta": 0.3, "cpo_alpha": 0.5}),
    "simpo": (simpo, {"beta": 2.0, "simpo_gamma": 0.7}),
    "orpo": (orpo, {"beta": 0.2}),
    "mpo": (mpo, {"trainer": "dpo", "loss_type": ["sigmoid", "bco_pair", "sft"], "loss_weights": [0.8, 0.2, 1.0]}),
    "reference_free": (reference_free, {"trainer": "dpo", "reference_free": True}),
}


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: Any) -> list[dict[str, Any]]:
    """The pairs with pictures of unequal sizes."""
    return with_pictures(PAIRS, tmp_path_factory.mktemp("pictures"))


@torch.no_grad()
def likelihood(model: Any, side: dict[str, Any]) -> tuple[float, int]:
    """(Σ log p, tokens) of the answer in one unpadded row."""
    inputs = {k: torch.tensor([v]) if isinstance(v, list) else v for k, v in side.items() if k != "labels"}
    logps = model(**inputs).logits[0].float().log_softmax(-1)
    found = [logps[n - 1, label].item() for n, label in enumerate(side["labels"]) if label != -100]
    return sum(found), len(found)


def side_of(trainer: Any, side: dict[str, Any]) -> dict[str, float]:
    """What the formulas read of one answer."""
    logp, tokens = likelihood(trainer.model, side)
    before = likelihood(trainer.reference.model, side)[0] if trainer.reference else math.nan
    return {"logp": logp, "mean": logp / tokens, "before": before}


@pytest.mark.parametrize("kind", ["text", "pictures"])
@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_the_formula(name: str, kind: str, pictured: Any, tmp_path: Path) -> None:
    formula, told = METHODS[name]
    family, rows = ("qwen2", PAIRS) if kind == "text" else ("qwen2_vl", pictured)
    trainer = build_trainer(tiny_model(family), rows, tmp_path, **{"trainer": name, **told})
    unsettle(trainer, 0.02)
    trainer.model.eval()
    expected = [formula(*(side_of(trainer, side) for side in pair)) for pair in trainer.train_dataset]
    batch = trainer.data_collator(list(trainer.train_dataset))
    loss = trainer.compute_loss(trainer.model, batch).item()
    assert loss == pytest.approx(sum(expected) / len(expected), rel=1e-4)
    if kind == "pictures":
        other = {**batch, "pixel_values": -batch["pixel_values"]}
        assert abs(trainer.compute_loss(trainer.model, other).item() - loss) > 1e-5
