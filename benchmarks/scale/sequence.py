"""What a process holds for the backward pass of one row whose tokens 1, 2 or 4 processes share.

Counted, not sampled: every tensor that autograd keeps, each storage once, without weights. So it is exact on a machine
that does other things, and the same on a GPU but for the attention's own workspace.
"""

from __future__ import annotations

import contextlib
import time
from typing import Any

from benchmarks.scale.fit import Curve, measured

PROCESSES = (1, 2, 4)
TOKENS = 4096
HEADS = (4, 3)
"""Attention heads of two models: four go round among the processes, three do not, and rows are cut in pieces."""


def curves(largest: int) -> list[Curve]:
    """MiB held by each process, with attention heads for all of them and with heads for few. largest: processes."""
    from swift_testing.processes import Processes

    theory = "-1: what one holds, shared"
    found = {h: Curve(f"sequence, {h} heads: held activations", "processes", "MiB", theory) for h in HEADS}
    for count in (c for c in PROCESSES if c <= largest):
        with Processes(count) as processes:
            for heads, curve in found.items():
                held, seconds = processes.call(step, heads, TOKENS)[0]
                measured(curve, [count], lambda _, h=held: h / 2**20)
                print(f"{heads} heads, {count} processes: {held / 2**20:.1f} MiB each, a step of {seconds:.2f} s")
    return list(found.values())


def step(heads: int, tokens: int) -> tuple[int, float]:
    """(bytes that autograd holds on this process, wall seconds) of a forward and backward pass."""
    import torch
    import torch.distributed as dist
    import transformers
    from swift_plugin_runtime.training.trainer import token_losses

    if not dist.is_initialized():
        dist.init_process_group("gloo")
    torch.manual_seed(0)
    sizes = {"hidden_size": 64 * heads, "intermediate_size": 256 * heads, "num_hidden_layers": 4}
    config = transformers.LlamaConfig(
        vocab_size=1000, num_attention_heads=heads, num_key_value_heads=heads, max_position_embeddings=tokens, **sizes
    )
    model = transformers.LlamaForCausalLM(config)
    if dist.get_world_size() > 1:
        from swift_plugin_sequence.cut import share_rows

        share_rows(model, torch.device("cpu"), dist.get_world_size())
    ids = torch.arange(tokens)[None] * 7 % 1000
    began = time.monotonic()
    with counted(model) as held:
        losses, _ = token_losses(model, {"input_ids": ids, "position_ids": torch.arange(tokens)[None]}, ids)
    losses.mean().backward()
    return sum(held.values()), time.monotonic() - began


@contextlib.contextmanager
def counted(model: Any) -> Any:
    """Inside, the storages that autograd keeps are noted with their bytes, those of weights left out."""
    import torch

    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    held: dict[int, int] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        place = tensor.untyped_storage()
        if place.data_ptr() not in weights:
            held[place.data_ptr()] = place.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        yield held
