"""Runs in Megatron-Core's environment, without swift-core: groups of processes, a model, its weights.

The model is made of Megatron-Core's own modules (its local specification): Transformer Engine is not asked for.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.mapping import ShardedObject
from megatron.core.models.gpt import GPTModel
from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.tensor_parallel import model_parallel_cuda_manual_seed
from megatron.core.transformer.moe import moe_utils
from megatron.core.transformer.transformer_config import TransformerConfig

if not hasattr(moe_utils, "te_general_gemm"):
    moe_utils.te_general_gemm = None  # 0.16.1 asks whether it is None, and defines it beside Transformer Engine alone

SETTINGS, LATEST = "megatron.json", "latest_checkpointed_iteration.txt"

Sizes = dict[str, int]
"""How many processes share a model, by way: tensor, pipeline, expert."""


def start(sizes: Sizes, seed: int) -> None:
    """Join the other processes of torchrun, and make the groups that share a model."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    torch.distributed.init_process_group("nccl" if gpu else "gloo")
    parallel_state.initialize_model_parallel(
        tensor_model_parallel_size=sizes.get("tensor", 1),
        pipeline_model_parallel_size=sizes.get("pipeline", 1),
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
        expert_model_parallel_size=sizes.get("expert", 1),
        expert_tensor_parallel_size=1 if sizes.get("expert", 1) > 1 else None,
        moe_token_dispatcher_type="alltoall" if sizes.get("expert", 1) > 1 else "allgather",
        attention_softmax_in_fp32=True,
        **more,
    )
    return GPTModel(
        config,
        _layers(shape),
        pre_process=parallel_state.is_pipeline_first_stage(),
        post_process=parallel_state.is_pipeline_last_stage(),
        parallel_output=not gathered,
        **told["model"],
    ).to(torch.cuda.current_device(), dtype)  # norms as well, which are made in float32


def _layers(shape: dict[str, Any]) -> Any:
    """The specification of a layer. Keys of checkpoints are those that Transformer Engine's layers have."""
    experts = shape.get("num_moe_experts")
    spec = get_gpt_layer_local_spec(
        num_experts=experts, qk_layernorm=shape.get("qk_layernorm", False), normalization=shape["normalization"]
    )
    if experts:  # the norm before experts is a module of its own there
        spec.submodules.sharded_state_dict_keys_map.pop("pre_mlp_layernorm.")
    return spec


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


def causal_mask(length: int, device: Any) -> torch.Tensor:
    """True where a token does not look: at all that come after it. Shape [1, 1, length, length]."""
    return torch.ones(length, length, dtype=torch.bool, device=device).triu(1)[None, None]
