"""Rows of text through a multimodal model lose what they lose through its language model, for every method."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from swift_testing.contracts import tiny_model
from swift_testing.contracts_trainers import build_trainer, unsettle
from swift_testing.rewards import rewarding, share_of_odd_characters
from swift_testing.rollouts import telling
from swift_testing.tiny import tiny_qwen2_vl

from swift_core.catalogue.entries import Catalogue

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
    "gkd": (ROWS, {"lmbda": 0.0}),
    **{name: (ROWS, {"reward": ["odd"], "num_generations": 2, "rollout_backend": "vllm"}) for name in ("rloo", "grpo")},
    **{name: (ROWS, {"reward": ["odd"], "rollout_backend": "vllm"}) for name in ("reinforce_plus_plus", "ppo")},
}


def language_model_of(multimodal: str, folder: Path) -> str:
    """The language model of a tiny Qwen2-VL as a Qwen2 in `folder`, with the same tokenizer."""
    import transformers
    from swift_plugin_runtime.loading.processor import load_processor

    whole = transformers.Qwen2VLForConditionalGeneration.from_pretrained(multimodal)
    apart = ("model_type", "architectures", "rope_parameters", "layer_types", "transformers_version")
    text = whole.config.text_config.to_dict()
    config = transformers.Qwen2Config(**{k: v for k, v in text.items() if k not in apart})
    config.rope_parameters = {"rope_type": "default", "rope_theta": 10000.0}
    language = transformers.Qwen2ForCausalLM(config)
    language.model.load_state_dict(whole.model.language_model.state_dict())
    language.lm_head.load_state_dict(whole.lm_head.state_dict())
    language.save_pretrained(folder)
    load_processor(multimodal, False).tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: Any) -> str:
    """The language model of the tiny Qwen2-VL."""
    return language_model_of(tiny_model("qwen2_vl"), tmp_path_factory.mktemp("alone"))


@pytest.fixture(scope="module")
def teachers(tmp_path_factory: Any) -> list[str]:
    """Another tiny Qwen2-VL, and its language model."""
    folder = tmp_path_factory.mktemp("teachers")
    seeing = tiny_qwen2_vl(folder / "seeing", seed=7)
    return [seeing, language_model_of(seeing, folder / "reading")]


def move(whole: Any, language: Any) -> None:
    """The multimodal model's weights, head and all, into the other."""
    if hasattr(whole, "value_head"):
        language.value_head.load_state_dict(whole.value_head.state_dict())
        whole, language = whole.policy, language.policy
    inner = whole.model
    language.model.load_state_dict(getattr(inner, "language_model", inner).state_dict())
    for head in ("lm_head", "score"):
        if hasattr(whole, head):
            getattr(language, head).load_state_dict(getattr(whole, head).state_dict())


def batch_of(trainer: Any) -> dict[str, Any]:
    """One batch of all rows; for methods that learn from their own answers, of told ones."""
    rows = list(trainer.train_dataset)
    if hasattr(trainer, "batch_of"):
        return trainer.batch_of(rows, 0)
    if hasattr(trainer, "roll_out"):
        return trainer.collate(trainer.roll_out([rows])[0]["answers"])
    return trainer.data_collator(rows)


@pytest.mark.parametrize("name", METHODS)
def test_text_through_a_multimodal_model_loses_what_its_language_model_loses(
    name: str, alone: str, teachers: list[str], tmp_path: Path
) -> None:
    rows, told = METHODS[name]
    shared = {"trainer": name, "template": "chatml", "freeze_vit": False, "freeze_aligner": False, **told}
    found = telling(rewarding(share_of_odd_characters, "odd"))
    seen, read = ({"teacher_model": teacher} if name == "gkd" else {} for teacher in teachers)
    seeing = build_trainer(tiny_model("qwen2_vl"), rows, tmp_path / "vl", found, **shared, **seen)
    reading = build_trainer(alone, rows, tmp_path / "text", found, **shared, **read)
    batches = [batch_of(trainer) for trainer in (seeing, reading)]
    unsettle(seeing, 0.03)  # both keep the same reference, which neither policy equals any more
    move(seeing.model, reading.model)
    pairs = zip((seeing, reading), batches, strict=True)
    losses = [trainer.compute_loss(trainer.model.eval(), batch).item() for trainer, batch in pairs]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    assert abs(losses[0]) > 1e-3


def test_no_method_is_left_out() -> None:
    # those of Megatron-Core are the same methods on another engine, which wants a GPU: its own tests hold them to ours
    names = {entry.name for entry in Catalogue.installed().of_kind("trainer")}
    assert set(METHODS) == {name for name in names if not name.startswith("megatron_")}
