"""Rows of text through a multimodal model lose what they lose through its language model, for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from swift_core.testing.contracts import tiny_model
from swift_core.testing.contracts_trainers import build_trainer, unsettle

ROWS = [
    {"query": "What is the answer?", "response": "It is here.", "rejected_response": "In the city.", "label": True},
    {"query": "add 1 2", "response": "3", "rejected_response": "1 2 add add", "label": False},
]
TEXTS = [
    {"query": "What is the answer?", "positive": "It is here.", "negative": "city Paris"},
    {"query": "add 1 2", "positive": "3", "negative": "hello world"},
]
CLASSES = [{"query": row["query"], "label": number} for number, row in enumerate(ROWS)]
METHODS: dict[str, tuple[list[dict[str, Any]], dict[str, Any]]] = {
    **{name: (ROWS, {}) for name in ("sft", "dpo", "kto", "orpo", "cpo", "simpo", "rm")},
    "pt": (ROWS, {"loss_scale": "all"}),
    "seq_cls": (CLASSES, {"num_labels": 2}),
    "embedding": (TEXTS, {}),
    "reranker": (TEXTS, {}),
    "generative_reranker": (TEXTS, {"positive_token": "a", "negative_token": "b"}),
}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: Any) -> str:
    """The language model of the tiny Qwen2-VL as a Qwen2, with the same tokenizer."""
    import transformers
    from swift_plugin_runtime.processor import load_processor

    folder = str(tmp_path_factory.mktemp("alone"))
    whole = transformers.Qwen2VLForConditionalGeneration.from_pretrained(tiny_model("qwen2_vl"))
    apart = ("model_type", "architectures", "rope_parameters", "layer_types", "transformers_version")
    text = whole.config.text_config.to_dict()
    config = transformers.Qwen2Config(**{k: v for k, v in text.items() if k not in apart})
    config.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
    language = transformers.Qwen2ForCausalLM(config)
    language.model.load_state_dict(whole.model.language_model.state_dict())
    language.lm_head.load_state_dict(whole.lm_head.state_dict())
    language.save_pretrained(folder)
    load_processor(tiny_model("qwen2_vl"), False).tokenizer.save_pretrained(folder)
    return folder


def move(whole: Any, language: Any) -> None:
    """The multimodal model's weights, head and all, into the other."""
    inner = whole.model
    language.model.load_state_dict(getattr(inner, "language_model", inner).state_dict())
    for head in ("lm_head", "score"):
        if hasattr(whole, head):
            getattr(language, head).load_state_dict(getattr(whole, head).state_dict())


@pytest.mark.parametrize("name", METHODS)
def test_text_through_a_multimodal_model_loses_what_its_language_model_loses(
    name: str, alone: str, tmp_path: Path
) -> None:
    rows, told = METHODS[name]
    shared = {"trainer": name, "template": "chatml", "freeze_vit": False, "freeze_aligner": False, **told}
    seeing = build_trainer(tiny_model("qwen2_vl"), rows, tmp_path / "vl", **shared)
    reading = build_trainer(alone, rows, tmp_path / "text", **shared)
    unsettle(seeing, 0.03)  # both keep the same reference, which neither policy equals any more
    move(seeing.model, reading.model)
    losses = []
    for trainer in (seeing, reading):
        batch = trainer.data_collator(list(trainer.train_dataset))
        losses.append(trainer.compute_loss(trainer.model.eval(), batch).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert losses[0] > 0.01
