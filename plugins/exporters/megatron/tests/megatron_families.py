"""Tiny random models of every family with a map, as transformers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SHAPE = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}

EXPERTS = {"num_experts_per_tok": 2, "num_hidden_layers": 2}

OWN: dict[str, dict[str, Any]] = {
    "llama": {"rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
    "mistral": {"sliding_window": None, "num_key_value_heads": 4},
    "mixtral": {**EXPERTS, "num_local_experts": 4, "sliding_window": None},
    "qwen3_moe": {**EXPERTS, "num_experts": 4, "moe_intermediate_size": 48, "norm_topk_prob": True},
}
"""What a family has of its own; between them: tied and untied, heads wider than their share, one key head a query."""


LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_theta": 500000.0,
}
"""Positions of Llama 3.1."""


def write(folder: Path, family: str, dtype: str = "float32", **changes: Any) -> str:
    """The checkpoint of a family, all weights random and none the same as another; its folder."""
    import torch
    from swift_testing.tiny import CHATML_TOKENS, SAMPLE_TEXTS, build_tokenizer
    from transformers import AutoConfig, AutoModelForCausalLM

    tokenizer = build_tokenizer(SAMPLE_TEXTS, CHATML_TOKENS, vocab_size=512)
    tokenizer.chat_template = CHATML
    config = AutoConfig.for_model(family, **{**SHAPE, "vocab_size": 512, **OWN[family], **changes})
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms as well, which begin as zeros and ones
            parameter.add_(0.1 * torch.randn_like(parameter))
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
