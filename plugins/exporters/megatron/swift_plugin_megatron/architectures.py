"""Which families Megatron-Core computes as transformers does, as data: one row per architecture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swift_core import SwiftError
from swift_plugin_megatron.maps import (
    ATTENTION,
    BIASES,
    DENSE,
    ENDS,
    HEAD,
    HEAD_NORMS,
    MIXTRAL_EXPERTS,
    QWEN_EXPERTS,
    Rules,
    Sizes,
)

FACTS = {
    "num_layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "ffn_hidden_size": "intermediate_size",
    "num_attention_heads": "num_attention_heads",
    "num_query_groups": "num_key_value_heads",
    "layernorm_epsilon": "rms_norm_eps",
}
"""Field of Megatron-Core's TransformerConfig → field of config.json."""

ALWAYS: dict[str, Any] = {
    "normalization": "RMSNorm",
    "gated_linear_unit": True,
    "add_bias_linear": False,
    "hidden_dropout": 0.0,
    "attention_dropout": 0.0,
}
"""Fields of TransformerConfig that are the same for all families here. The activation is SiLU."""

OF_EXPERTS: dict[str, Any] = {"moe_router_load_balancing_type": "none", "moe_router_dtype": "fp32"}
"""The same of families with experts: no loss but that of the tokens, as transformers has it unless asked."""

NEEDS: dict[str, tuple[Any, ...]] = {"hidden_act": ("silu",), "attention_dropout": (0, None)}

UNBIASED: dict[str, tuple[Any, ...]] = {"attention_bias": (False,), "mlp_bias": (False,)}
NO_WINDOW: dict[str, tuple[Any, ...]] = {"sliding_window": (None,)}
NO_USED_WINDOW: dict[str, tuple[Any, ...]] = {"use_sliding_window": (False,)}

LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
"""What Megatron-Core's scaling of Llama 3's positions takes for granted; the factor alone can be told."""


@dataclass(frozen=True)
class Architecture:
    """How Megatron-Core holds a family.

    rules: its map of weights, without the output matrix. says: fields of TransformerConfig. facts: further ones, and
    the fields of config.json that they take. needs: field of config.json → the values that Megatron-Core computes with.
    experts: the field that counts the experts.
    """

    rules: Rules
    says: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    experts: str | None = None


ARCHITECTURES: dict[str, Architecture] = {
    "llama": Architecture(ENDS + ATTENTION + DENSE, needs=UNBIASED),
    "mistral": Architecture(ENDS + ATTENTION + DENSE, needs=NO_WINDOW),
    "qwen2": Architecture(ENDS + ATTENTION + BIASES + DENSE, {"add_qkv_bias": True}, needs=NO_USED_WINDOW),
    "qwen3": Architecture(
        ENDS + ATTENTION + HEAD_NORMS + DENSE, {"qk_layernorm": True}, needs=NO_USED_WINDOW | UNBIASED
    ),
    "mixtral": Architecture(
        ENDS + ATTENTION + MIXTRAL_EXPERTS,
        OF_EXPERTS | {"moe_router_pre_softmax": False},
        {"moe_ffn_hidden_size": "intermediate_size", "moe_router_topk": "num_experts_per_tok"},
        NO_WINDOW | {"router_jitter_noise": (0, None)},
        "num_local_experts",
    ),
    "qwen3_moe": Architecture(
        ENDS + ATTENTION + HEAD_NORMS + QWEN_EXPERTS,
        OF_EXPERTS | {"qk_layernorm": True, "moe_router_pre_softmax": False},
        {"moe_ffn_hidden_size": "moe_intermediate_size", "moe_router_topk": "num_experts_per_tok"},
        NO_USED_WINDOW
        | UNBIASED
        | {"norm_topk_prob": (True,), "decoder_sparse_step": (1,), "mlp_only_layers": ([], None)},
        "num_experts",
    ),
}
"""`model_type` of config.json → its row."""


def architecture_of(config: Any) -> Architecture:
    """The row of a transformers config.

    Raises SwiftError where the family is not in the table, or where a field has a value with which Megatron-Core would
    compute otherwise.
    """
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is None:
        raise SwiftError(
            f"There is no map of weights between Megatron-Core and the family {config.model_type!r}. There are maps "
            f"for: {', '.join(ARCHITECTURES)}."
        )
    needs = {**NEEDS, **architecture.needs}
    wrong = [
        f"{name} = {getattr(config, name)!r}"
        for name in needs
        if getattr(config, name, needs[name][0]) not in needs[name]
    ]
    wrong += _wrong_positions(dict(config.rope_parameters))
    if getattr(config, "quantization_config", None):
        wrong.append("quantized weights")
    if wrong:
        raise SwiftError(f"Megatron-Core would compute otherwise than this checkpoint wants: {', '.join(wrong)}.")
    return architecture


def _wrong_positions(rope: dict[str, Any]) -> list[str]:
    """What is wrong about how positions are rotated."""
    kind = rope.get("rope_type", "default")
    if kind == "llama3":
        return [
            f"{name} = {rope.get(name)!r} of positions" for name, value in LLAMA3.items() if rope.get(name) != value
        ]
    wrong = [] if kind in ("default", "linear") else [f"rope_type = {kind!r}"]
    return wrong + (["partial_rotary_factor"] if rope.get("partial_rotary_factor", 1.0) != 1.0 else [])


def rules_of(config: Any) -> Rules:
    """The map of a model's weights. Raises SwiftError as `architecture_of`."""
    return architecture_of(config).rules + (() if config.tie_word_embeddings else HEAD)


def sizes_of(config: Any) -> Sizes:
    """The sizes that its map takes."""
    count = ARCHITECTURES[config.model_type].experts
    groups = config.num_key_value_heads or config.num_attention_heads
    return Sizes(config.num_hidden_layers, groups, head_width(config), getattr(config, count) if count else 0)


def head_width(config: Any) -> int:
    """Numbers of one attention head."""
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def settings_of(config: Any, dtype: str) -> dict[str, Any]:
    """Arguments of Megatron-Core: `transformer` for TransformerConfig, `model` for GPTModel; and `dtype`, as torch's.

    Raises SwiftError as `architecture_of`.
    """
    row, rope = architecture_of(config), dict(config.rope_parameters)
    kind = rope.get("rope_type", "default")
    taken = {name: getattr(config, theirs) for name, theirs in {**FACTS, **row.facts}.items()}
    experts = {"num_moe_experts": getattr(config, row.experts)} if row.experts else {}
    model = {
        "vocab_size": config.vocab_size,
        "max_sequence_length": config.max_position_embeddings,
        "position_embedding_type": "rope",
        "rotary_base": rope["rope_theta"],
        "share_embeddings_and_output_weights": bool(config.tie_word_embeddings),
    }
    if kind == "llama3":
        model |= {"rope_scaling": True, "rope_scaling_factor": rope["factor"]}
    if kind == "linear":
        model["seq_len_interpolation_factor"] = rope["factor"]
    return {
        "transformer": {**ALWAYS, **row.says, **taken, **experts, "kv_channels": head_width(config)},
        "model": model,
        "dtype": dtype,
    }
