"""Weights of Megatron-Core and of transformers: which becomes which, as data, and the two ways of one rule.

The names of Megatron-Core are the keys of its distributed checkpoints: what all layers have is one tensor whose first
axis counts the layers, and of experts the second counts the experts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

Rules = tuple["Rule", ...]


@dataclass(frozen=True)
class Sizes:
    """What a map must know of a model. groups: key heads. width: numbers of a head. experts: 0 where there are none."""

    layers: int
    groups: int
    width: int
    experts: int = 0


@dataclass(frozen=True)
class Rule:
    """How one tensor of Megatron-Core is made.

    key: its name there. names: those of its parts in transformers, with `{layer}` and `{expert}` where there is one for
    each. join: `whole`, one part; `end to end`, parts joined along their rows; `by group`, rows of queries, keys and
    values in turns: the queries of a key head, that key head, its values.
    """

    key: str
    names: tuple[str, ...]
    join: Literal["whole", "end to end", "by group"] = "whole"

    @property
    def of_layers(self) -> bool:
        """Whether each layer has one."""
        return "{layer}" in self.names[0]

    @property
    def of_experts(self) -> bool:
        """Whether each expert of a layer has one."""
        return "{expert}" in self.names[0]

    def places(self, sizes: Sizes) -> Iterator[tuple[int, ...]]:
        """Where its pieces lie in the tensor: (), (layer,) or (layer, expert) each."""
        layers = range(sizes.layers) if self.of_layers else (None,)
        experts = range(sizes.experts) if self.of_experts else (None,)
        for layer in layers:
            for expert in experts:
                yield tuple(number for number in (layer, expert) if number is not None)

    def named(self, place: tuple[int, ...]) -> list[str]:
        """The names in transformers of the parts of the piece at a place."""
        numbers = dict(zip(("layer", "expert"), place, strict=False))
        return [name.format(**numbers) for name in self.names]


LAYER, HERE = "decoder.layers.", "model.layers.{layer}."

ENDS: Rules = (
    Rule("embedding.word_embeddings.weight", ("model.embed_tokens.weight",)),
    Rule("decoder.final_layernorm.weight", ("model.norm.weight",)),
)

HEAD: Rules = (Rule("output_layer.weight", ("lm_head.weight",)),)
"""Where the output matrix is not the embedding."""

ATTENTION: Rules = (
    Rule(LAYER + "self_attention.linear_qkv.layer_norm_weight", (HERE + "input_layernorm.weight",)),
    Rule(
        LAYER + "self_attention.linear_qkv.weight",
        tuple(f"{HERE}self_attn.{part}_proj.weight" for part in "qkv"),
        "by group",
    ),
    Rule(LAYER + "self_attention.linear_proj.weight", (HERE + "self_attn.o_proj.weight",)),
)

BIASES: Rules = (
    Rule(
        LAYER + "self_attention.linear_qkv.bias",
        tuple(f"{HERE}self_attn.{part}_proj.bias" for part in "qkv"),
        "by group",
    ),
)
"""Of queries, keys and values."""

HEAD_NORMS: Rules = (
    Rule(LAYER + "self_attention.q_layernorm.weight", (HERE + "self_attn.q_norm.weight",)),
    Rule(LAYER + "self_attention.k_layernorm.weight", (HERE + "self_attn.k_norm.weight",)),
)
"""Norms over each head of queries and keys."""

DENSE: Rules = (
    Rule(LAYER + "mlp.linear_fc1.layer_norm_weight", (HERE + "post_attention_layernorm.weight",)),
    Rule(
        LAYER + "mlp.linear_fc1.weight",
        (HERE + "mlp.gate_proj.weight", HERE + "mlp.up_proj.weight"),
        "end to end",
    ),
    Rule(LAYER + "mlp.linear_fc2.weight", (HERE + "mlp.down_proj.weight",)),
)


def experts(router: str, gate: str, up: str, down: str) -> Rules:
    """The rules of a layer of experts. router: its matrix in transformers; the others: matrices of one expert."""
    return (
        Rule(LAYER + "pre_mlp_layernorm.weight", (HERE + "post_attention_layernorm.weight",)),
        Rule(LAYER + "mlp.router.weight", (HERE + router,)),
        Rule(LAYER + "mlp.experts.experts.linear_fc1.weight", (HERE + gate, HERE + up), "end to end"),
        Rule(LAYER + "mlp.experts.experts.linear_fc2.weight", (HERE + down,)),
    )


QWEN_EXPERTS = experts(
    "mlp.gate.weight", *(f"mlp.experts.{{expert}}.{part}_proj.weight" for part in ("gate", "up", "down"))
)
MIXTRAL_EXPERTS = experts(
    "block_sparse_moe.gate.weight", *(f"block_sparse_moe.experts.{{expert}}.w{n}.weight" for n in (1, 3, 2))
)


def wanted(rules: Rules, sizes: Sizes) -> list[str]:
    """The names of all weights that transformers has."""
    return [name for rule in rules for place in rule.places(sizes) for name in rule.named(place)]


def to_megatron(rule: Rule, sizes: Sizes, read: Callable[[str], torch.Tensor]) -> torch.Tensor:
    """The tensor of Megatron-Core: [rows, …], of layers [layers, rows, …], of experts [layers, experts, rows, …].

    read: name in transformers → weight.
    """
    shape = tuple(size for size, of in ((sizes.layers, rule.of_layers), (sizes.experts, rule.of_experts)) if of)
    whole: torch.Tensor | None = None
    for place in rule.places(sizes):
        piece = _joined(rule, sizes, [read(name) for name in rule.named(place)])
        whole = piece.new_empty((*shape, *piece.shape)) if whole is None else whole
        whole[place] = piece
    assert whole is not None
    return whole


def to_transformers(rule: Rule, sizes: Sizes, tensor: torch.Tensor) -> Iterator[tuple[str, torch.Tensor]]:
    """Names and weights of transformers that are in a tensor of Megatron-Core, whose shape is as in `to_megatron`."""
    for place in rule.places(sizes):
        for name, part in zip(rule.named(place), _parted(rule, sizes, tensor[place]), strict=True):
            yield name, part.clone(memory_format=torch.contiguous_format)  # a view would keep the whole tensor


def _joined(rule: Rule, sizes: Sizes, parts: list[torch.Tensor]) -> torch.Tensor:
    if rule.join == "whole":
        return parts[0]
    if rule.join == "end to end":
        return torch.cat(parts)
    rest = parts[0].shape[1:]
    return torch.cat([part.reshape(sizes.groups, -1, *rest) for part in parts], dim=1).reshape(-1, *rest)


def _parted(rule: Rule, sizes: Sizes, piece: torch.Tensor) -> list[torch.Tensor]:
    if rule.join == "whole":
        return [piece]
    if rule.join == "end to end":
        return list(piece.chunk(2))
    rest = piece.shape[1:]
    grouped = piece.reshape(sizes.groups, -1, *rest)
    rows = [grouped.shape[1] - 2 * sizes.width, sizes.width, sizes.width]
    return [part.reshape(-1, *rest) for part in grouped.split(rows, dim=1)]


def mistaken(found: Mapping[str, Any], expected: list[str]) -> tuple[list[str], list[str]]:
    """(names that are missing, names that have no place), each in order."""
    return sorted(set(expected) - set(found)), sorted(set(found) - set(expected))
