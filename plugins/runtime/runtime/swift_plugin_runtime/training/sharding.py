"""One model among several processes: FSDP2 (torch's fully_shard, arXiv 2304.11277) and DeepSpeed's ZeRO settings."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from swift_core import SwiftError

STAGES = ("zero0", "zero1", "zero2", "zero3", "zero2_offload", "zero3_offload")


def shard(model: Any, device: torch.device, gathered: torch.dtype | None = None) -> str:
    """Split every parameter of `model` in place among all processes; returns a line that says how.

    Each of the model's blocks gathers its weights while it runs; the rest belongs to the whole. Gradients and
    optimizer state are split in the same way. gathered: the type in which weights are gathered and computed with,
    where the shards are float32 masters; gradients are summed in float32. Raises SwiftError where no processes were
    started.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    from torch.distributed.tensor import DTensor

    if not torch.distributed.is_initialized():
        raise SwiftError("--fsdp splits the model among processes; start them with --launcher torchrun.")
    mesh = init_device_mesh(device.type, (torch.distributed.get_world_size(),))
    policy = MixedPrecisionPolicy(param_dtype=gathered, reduce_dtype=torch.float32 if gathered else None)
    blocks = getattr(model, "_no_split_modules", None) or ()
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)
    held = sum(p.to_local().numel() for p in model.parameters() if isinstance(p, DTensor))
    return f"FSDP2: this process holds {held} of {sum(p.numel() for p in model.parameters())} parameters"


def leave_whole(accelerator: Any) -> None:
    """Keep accelerate from wrapping a model that is split already; mixed precision still applies."""
    accelerator.prepare_model = functools.partial(accelerator.prepare_model, evaluation_mode=True)


def _whole() -> Any:
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(full_state_dict=True, cpu_offload=True)


def whole_weights(model: Any) -> dict[str, Any]:
    """The state of a split model in whole tensors, on the first process; empty on the others. All must call."""
    from torch.distributed.checkpoint.state_dict import get_model_state_dict

    return get_model_state_dict(model, options=_whole())


def whole_optimizer(model: Any, optimizer: Any) -> dict[str, Any]:
    """The state of a split optimizer in whole tensors by parameter name. All processes must call."""
    from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict

    return get_optimizer_state_dict(model, optimizer, options=_whole())


def load_optimizer(model: Any, optimizer: Any, state: dict[str, Any]) -> None:
    """Give each process its part of a state that `whole_optimizer` returned."""
    from torch.distributed.checkpoint.state_dict import set_optimizer_state_dict

    set_optimizer_state_dict(model, optimizer, state, options=_whole())


def load_weights(model: Any, state: dict[str, Any]) -> None:
    """Give each process its part of whole tensors; weights that `state` does not name stay as they are."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict

    set_model_state_dict(model, state, options=StateDictOptions(full_state_dict=True, strict=False))


@contextmanager
def answering(owner: Any, **methods: Any) -> Iterator[None]:
    """Inside, methods of this one object are replaced: whoever saves it sees whole tensors."""
    for name, method in methods.items():
        setattr(owner, name, method)
    try:
        yield
    finally:
        for name in methods:
            delattr(owner, name)


def zero_settings(name: str) -> dict[str, Any]:
    """DeepSpeed's settings for --deepspeed: zero0 … zero3, with `_offload` on the CPU, or a JSON file's."""
    if name not in STAGES:
        return _settings_from(name)
    stage, offload = int(name[4]), name.endswith("_offload")
    on_cpu = {"device": "cpu", "pin_memory": True}
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto"},
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": {
            "stage": stage,
            "contiguous_gradients": True,
            "reduce_bucket_size": "auto",
            **({"offload_optimizer": on_cpu} if offload else {}),
            **({"offload_param": on_cpu} if offload and stage == 3 else {}),
            **(_STAGE_3 if stage == 3 else {}),
        },
    }


_STAGE_3 = {
    "stage3_prefetch_bucket_size": "auto",
    "stage3_param_persistence_threshold": "auto",
    "stage3_gather_16bit_weights_on_model_save": True,
}


def _settings_from(name: str) -> dict[str, Any]:
    try:
        return json.loads(Path(name).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SwiftError(f"--deepspeed {name}: neither one of {', '.join(STAGES)} nor a JSON file.") from None
    except json.JSONDecodeError as error:
        raise SwiftError(f"--deepspeed {name} is not valid JSON: {error}") from None
