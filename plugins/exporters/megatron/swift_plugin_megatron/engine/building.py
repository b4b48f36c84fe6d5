"""Runs in Megatron-Core's environment, without swift-core: groups of processes, a model, its weights.

The model is made of Megatron-Core's own modules (its local specification): Transformer Engine is not asked for. Two of
them it lacks for that: a norm of tokens that are shared, and attention to tokens that other processes have.
"""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedObject
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region, model_parallel_cuda_manual_seed
from megatron.core.transformer.dot_product_attention import DotProductAttention
from megatron.core.transformer.moe import moe_utils
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build
from megatron.core.transformer.transformer_config import TransformerConfig

if not hasattr(moe_utils, "te_general_gemm"):
    moe_utils.te_general_gemm = None  # 0.16.1 asks whether it is None, and defines it beside Transformer Engine alone

SETTINGS, LATEST = "megatron.json", "latest_checkpointed_iteration.txt"

Sizes = dict[str, int]
"""How many processes share a model, by way: tensor, pipeline, expert; and context, the tokens of a row."""


def start(sizes: Sizes, seed: int) -> None:
    """Join the other processes of torchrun, and make the groups that share a model."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if gpu else "gloo")
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=sizes.get("tensor", 1),
        pipeline_model_parallel_size=sizes.get("pipeline", 1),
        context_parallel_size=sizes.get("context", 1),
        expert_model_parallel_size=sizes.get("expert", 1),
        expert_tensor_parallel_size=1 if sizes.get("expert", 1) > 1 else None,
    )
    model_parallel_cuda_manual_seed(seed)


def build(folder: Path, sizes: Sizes, gathered: bool = False, **more: Any) -> Any:
    """The model of a checkpoint with random weights, on this process's device, as far as this process holds it.

    The random weights are needed: where Megatron-Core draws none, it does not mark which weights are shares either, and
    the norm of the gradients is wrong.

    gathered: whether the logits of all words come together in each process. more: fields of TransformerConfig.
    """
    told = json.loads((folder / SETTINGS).read_text(encoding="utf-8"))
    shape, dtype = told["transformer"], getattr(torch, told["dtype"])
    config = TransformerConfig(
        **shape,
        activation_func=torch.nn.functional.silu,
        params_dtype=dtype,
        bf16=dtype is torch.bfloat16,
        fp16=dtype is torch.float16,
        pipeline_dtype=dtype,
        tensor_model_parallel_size=sizes.get("tensor", 1),
        pipeline_model_parallel_size=sizes.get("pipeline", 1),
        context_parallel_size=sizes.get("context", 1),
        expert_model_parallel_size=sizes.get("expert", 1),
        expert_tensor_parallel_size=1 if sizes.get("expert", 1) > 1 else None,
        sequence_parallel="num_moe_experts" in shape and sizes.get("tensor", 1) > 1,  # it trains no experts without
        moe_token_dispatcher_type="alltoall" if sizes.get("expert", 1) > 1 else "allgather",
        attention_softmax_in_fp32=True,
        **more,
    )
    return GPTModel(
        config,
        _layers(shape, config),
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        parallel_output=not gathered,
        **told["model"],
    ).to(torch.cuda.current_device(), dtype)  # norms as well, which are made in float32


class Norm(torch.nn.RMSNorm):
    """A norm whose tokens the processes of a tensor group may share: its gradient is then their sum."""

    def __init__(self, config: Any, hidden_size: int, eps: float = 1e-5, **_: Any):
        super().__init__(hidden_size, eps=eps)
        self.weight.sequence_parallel = config.sequence_parallel


class Attention(DotProductAttention):
    """Attention of this process's tokens to all of their rows: keys and values of the context group are gathered."""

    def __init__(self, config: Any, *arguments: Any, **named: Any):
        alone = copy.copy(config)
        alone.context_parallel_size = 1
        super().__init__(alone, *arguments, **named)

    def forward(self, query: Any, key: Any, value: Any, *arguments: Any, **named: Any) -> Any:
        """query, key, value: [this process's tokens, rows, heads, width]; the mask is `causal_mask`."""
        group = parallel_state.get_context_parallel_group()
        key, value = (gather_from_sequence_parallel_region(t, group=group) for t in (key, value))
        return super().forward(query, key, value, *arguments, **named)


def _layers(shape: dict[str, Any], config: Any) -> Any:
    """The layers of this process. Their checkpoints have the keys that Transformer Engine's layers have."""
    experts = shape.get("num_moe_experts")
    spec = get_gpt_layer_local_spec(
        num_experts=experts, qk_layernorm=shape.get("qk_layernorm", False), normalization=shape["normalization"]
    )
    if experts:  # the norm before experts is a module of its own there
        spec.submodules.sharded_state_dict_keys_map.pop("pre_mlp_layernorm.")
        spec.submodules.pre_mlp_layernorm = Norm
    spec.submodules.input_layernorm = Norm
    attention = spec.submodules.self_attention.submodules
    attention.core_attention = Attention
    if shape.get("qk_layernorm", False):
        attention.q_layernorm = attention.k_layernorm = Norm
    return TransformerBlockSubmodules([spec] * get_num_layers_to_build(config), Norm)


def weights_folder(folder: Path) -> Path:
    """Where the weights of a checkpoint lie."""
    said = (folder / LATEST).read_text(encoding="utf-8").strip()
    return folder / (said if said == "release" else f"iter_{int(said):07d}")


def sharded(model: Any) -> dict[str, Any]:
    """What of a checkpoint this process has, without the modules' empty further states."""
    state = model.sharded_state_dict()
    return {key: value for key, value in state.items() if not isinstance(value, ShardedObject)}


def load(model: Any, folder: Path) -> None:
    """Read the weights; each is put in the place that it has here."""
    put(model, dist_checkpointing.load(sharded(model), str(weights_folder(folder))))


def put(model: Any, state: dict[str, Any]) -> None:
    """Give the model the weights in `state`, which must have all of them."""
    names = {name for name, _ in model.named_parameters()}
    missing = sorted(names - set(state))
    assert not missing, f"The checkpoint lacks {missing[:5]}."
    model.load_state_dict({name: state[name] for name in names}, strict=False)


def places(length: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """(places in a row of this process's tokens, [own]; those of all, one process of the context group after another).

    Each has a piece from the front and one from the back, so that all have the same work. length: of `filled`; the
    second has the shape [length].
    """
    size, mine = parallel_state.get_context_parallel_world_size(), parallel_state.get_context_parallel_rank()
    pieces = torch.arange(length, device=device).view(2 * size, -1)
    shares = [torch.cat([pieces[rank], pieces[2 * size - 1 - rank]]) for rank in range(size)]
    return shares[mine], torch.cat(shares)


def filled(length: int) -> int:
    """The next length that can be shared among the processes of context and tensor groups."""
    step = 2 * parallel_state.get_context_parallel_world_size() * parallel_state.get_tensor_model_parallel_world_size()
    return -(-length // step) * step


def causal_mask(length: int, device: Any) -> torch.Tensor:
    """True where a token of this process does not look: at all that come after it. Shape [1, 1, own, length]."""
    mine, everyone = places(length, device)
    return (everyone[None] > mine[:, None])[None, None]
