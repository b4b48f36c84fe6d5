"""Which families llama.cpp computes as transformers does, as data: one row per architecture.

The keys and what llama.cpp does with them: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and the
architectures in https://github.com/ggml-org/llama.cpp/tree/master/src/models.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from swift_core import SwiftError

HEAD_DIM = "head_dim"
"""Stands for the width of a head, which not every config writes down."""

COMMON = {
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.key_length": HEAD_DIM,
    "attention.value_length": HEAD_DIM,
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.dimension_count": HEAD_DIM,
    "vocab_size": "vocab_size",
}
"""GGUF's key behind the architecture's name → the field of config.json that every architecture here has."""


@dataclass(frozen=True)
class Architecture:
    """How llama.cpp holds a family.

    name: GGUF's. facts: further keys and the fields of config.json that they take. needs: field of config.json → the
    values that llama.cpp computes with; with any other it would answer otherwise. turned: llama.cpp rotates
    neighbouring numbers of a head, transformers its two halves, so the rows of Q and K are put in turns. one_more: the
    family's norms multiply by 1 + weight, llama.cpp by the weight. ropes: kinds of `rope_type` that it can be told.
    period: every so many layers one attends to everything, the others to a window; 0: all attend to everything.
    scaled: attention is divided by the root of `query_pre_attn_scalar`, which must be what llama.cpp takes.
    """

    name: str
    facts: Mapping[str, str] = field(default_factory=dict)
    needs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    turned: bool = False
    one_more: bool = False
    ropes: tuple[str, ...] = ("default", "linear", "yarn")
    period: int = 0
    scaled: bool = False


SILU: dict[str, tuple[Any, ...]] = {"hidden_act": ("silu",)}
TANH: tuple[Any, ...] = ("gelu_pytorch_tanh",)
WINDOW = {"attention.sliding_window": "sliding_window"}
SOFT = {"attn_logit_softcapping": "attn_logit_softcapping", "final_logit_softcapping": "final_logit_softcapping"}

LLAMA = Architecture("llama", needs=SILU, turned=True, ropes=("default", "linear", "yarn", "llama3"))

ARCHITECTURES: dict[str, Architecture] = {
    "llama": LLAMA,
    "mistral": LLAMA,
    "qwen2": Architecture("qwen2", needs=SILU | {"use_sliding_window": (False,)}),
    "qwen3": Architecture("qwen3", needs=SILU | {"use_sliding_window": (False,), "attention_bias": (False,)}),
    "gemma": Architecture(
        "gemma",
        needs={"hidden_act": TANH, "attention_bias": (False,), "tie_word_embeddings": (True,)},
        one_more=True,
        ropes=("default",),
    ),
    "gemma2": Architecture(
        "gemma2",
        facts=WINDOW | SOFT,
        needs={"hidden_activation": TANH, "attention_bias": (False,), "tie_word_embeddings": (True,)},
        one_more=True,
        ropes=("default",),
        period=2,
        scaled=True,
    ),
    "gemma3_text": Architecture(
        "gemma3",
        facts=WINDOW,
        needs={
            "hidden_activation": TANH,
            "attention_bias": (False,),
            "attn_logit_softcapping": (None,),
            "final_logit_softcapping": (None,),
            "use_bidirectional_attention": (False, None),
        },
        one_more=True,
        ropes=("default", "linear"),
        period=6,
        scaled=True,
    ),
}
"""`model_type` of config.json → its row."""

UNTOLD = {"attention_factor", "mscale", "mscale_all_dim", "truncate", "partial_rotary_factor", "long_factor"}
"""Fields of `rope_parameters` for which llama.cpp has no key, or takes another meaning."""

WIDE = {("gemma2", 46), ("gemma3", 62)}
"""Gemma's largest models, which llama.cpp knows by their layers: attention is divided by the root of width / heads."""


def architecture_of(config: Any) -> Architecture:
    """The row of a transformers config.

    Raises SwiftError where the family is not in the table, or where a field has a value that llama.cpp does not know.
    """
    architecture = ARCHITECTURES.get(config.model_type)
    if architecture is None:
        raise SwiftError(
            f"The family {config.model_type!r} is not written as GGUF here. These are: {', '.join(ARCHITECTURES)}. For "
            "others take llama.cpp's own converter (convert_hf_to_gguf.py) on the checkpoint."
        )
    wrong = [
        f"{name} = {getattr(config, name)!r}" for name in architecture.needs if not _met(architecture, config, name)
    ]
    wrong += _wrong_layers(architecture, config) + _wrong_scale(architecture, config)
    wrong += _wrong_ropes(architecture, config)
    if wrong:
        raise SwiftError(
            f"llama.cpp's {architecture.name!r} computes otherwise than this checkpoint wants: {', '.join(wrong)}. "
            "It cannot be written as GGUF."
        )
    return architecture


def head_dim(config: Any) -> int:
    """Numbers of one attention head."""
    return getattr(config, HEAD_DIM, None) or config.hidden_size // config.num_attention_heads


def rope_of(config: Any, layers: str = "full_attention") -> dict[str, Any]:
    """`rope_parameters` of the layers of one kind; most families have one for all."""
    parameters = config.rope_parameters
    return dict(parameters.get(layers, parameters))


def _met(architecture: Architecture, config: Any, name: str) -> bool:
    allowed = architecture.needs[name]
    return getattr(config, name, allowed[0]) in allowed


def _wrong_layers(architecture: Architecture, config: Any) -> list[str]:
    """What is wrong about which layers attend to a window."""
    count, period = config.num_hidden_layers, architecture.period
    wanted = ["sliding_attention" if period and (n + 1) % period else "full_attention" for n in range(count)]
    found = getattr(config, "layer_types", None) or wanted
    return [] if list(found) == wanted else [f"layer_types = {found}"]


def _wrong_scale(architecture: Architecture, config: Any) -> list[str]:
    """What is wrong about the scale of attention."""
    if not architecture.scaled:
        return []
    wide = (architecture.name, config.num_hidden_layers) in WIDE
    taken = config.hidden_size // config.num_attention_heads if wide else head_dim(config)
    found = config.query_pre_attn_scalar
    return [] if found == taken else [f"query_pre_attn_scalar = {found} (it takes {taken})"]


def _wrong_ropes(architecture: Architecture, config: Any) -> list[str]:
    """What is wrong about how positions are rotated. Layers with a window are rotated plainly."""
    full, sliding = rope_of(config), rope_of(config, "sliding_attention") if architecture.period else {}
    kind = full.get("rope_type", "default")
    wrong = [] if kind in architecture.ropes else [f"rope_type = {kind!r}"]
    wrong += [f"{name} = {full[name]!r} in rope_parameters" for name in UNTOLD & set(full) if full[name] is not None]
    plain = sliding.get("rope_type", "default") == "default" or sliding == full
    return wrong if plain else [*wrong, f"rope_type = {sliding['rope_type']!r} in layers with a window"]
