"""Output head and cross-entropy in one: logits of a few trained tokens at a time, never of all of them.

With a vocabulary of 150,000 the logits of 2,000 tokens, their softmax and its gradient take gigabytes. Here the head
is handed the positions that are trained alone, goes through them part by part, and keeps of each part its share of
the gradient, which it knows as soon as it knows the logits (as Liger's kernel does, Hsu et al., arXiv 2410.10989).
The rest of the model does not notice: inside `fused_loss_in_head`, its head answers with a loss where logits would be.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from swift_core import SwiftError
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.training.sharding import answering

TOGETHER = 2**24
"""Logits that are held at a time: 64 MiB in float32."""

LARGE = 64.0
"""Factor on the hidden states of the probe: logits that a model caps or scales then differ plainly from its head's."""


class HeadLoss(torch.autograd.Function):
    """Σ wᵢ · cross-entropy(W hᵢ + b, yᵢ) with its gradients, in nats; logits in h's precision, softmax in float32.

    hidden: [tokens, size]; weight: [vocabulary, size]; bias: [vocabulary] or None; targets, weights: [tokens].
    """

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, weights: Any) -> torch.Tensor:
        """The sum over all tokens, a scalar. The class names the shapes."""
        states, head = (t.to(_precision(t)) for t in (hidden, weight))
        inputs, wanted = (hidden, weight, bias), ctx.needs_input_grad[:3]
        grads = [torch.zeros_like(t, dtype=torch.float32) if w else None for t, w in zip(inputs, wanted, strict=True)]
        total, step = torch.zeros((), device=hidden.device), max(1, TOGETHER // len(weight))
        for first in range(0, len(targets), step):
            place = slice(first, first + step)
            logits = functional.linear(states[place], head, bias)
            loss, slopes = _losses(logits, targets[place], weights[place], any(wanted))
            total += loss
            if slopes is not None:
                _collect(grads, place, slopes.to(states.dtype), states[place], head)
        ctx.grads = [None if g is None else g.to(t.dtype) for g, t in zip(grads, inputs, strict=True)]
        return total

    @staticmethod
    def backward(ctx: Any, scale: Any) -> Any:
        return (*(None if g is None else g * scale for g in ctx.grads), None, None)


def _precision(tensor: torch.Tensor) -> torch.dtype:
    """What a tensor is computed in: autocast's type inside its context, else its own."""
    device = tensor.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else tensor.dtype


def _losses(logits: Any, targets: Any, weights: Any, slopes: bool) -> tuple[torch.Tensor, torch.Tensor | None]:
    """(weighted sum of losses, its derivative by the logits in float32 where it is asked for)."""
    logits = logits.float()
    sums, picked = logits.logsumexp(-1), logits.gather(1, targets[:, None])[:, 0]
    loss = ((sums - picked) * weights).sum()
    if not slopes:
        return loss, None
    chances = logits.sub_(sums[:, None]).exp_()
    chances[torch.arange(len(targets), device=targets.device), targets] -= 1
    return loss, chances.mul_(weights[:, None])


def _collect(grads: list[Any], place: slice, slopes: torch.Tensor, states: torch.Tensor, head: torch.Tensor) -> None:
    """Add one part's share to the gradients of hidden states, weight and bias, where each is wanted."""
    if grads[0] is not None:
        grads[0][place] = slopes @ head
    if grads[1] is not None:
        grads[1] += slopes.T @ states
    if grads[2] is not None:
        grads[2] += slopes.sum(0)


def _cut(hidden: Any, weight: Any, bias: Any, targets: Any, weights: Any) -> torch.Tensor:
    """The same through Cut Cross-Entropy's kernel (Wijmans et al., arXiv 2411.09009), which needs a GPU."""
    from cut_cross_entropy import linear_cross_entropy

    losses = linear_cross_entropy(hidden, weight, targets, bias=bias, reduction="none")
    return (losses * weights).sum()


KERNELS: dict[str, Any] = {"auto": HeadLoss.apply, "chunked": HeadLoss.apply, "cce": _cut}
"""Values of --fused_loss → what computes the loss in the head."""


def head_for(model: Any, wanted: str) -> nn.Linear | None:
    """The head that can answer with losses, None where logits have to be made.

    wanted: --fused_loss; auto asks the model, `chunked` and `cce` raise SwiftError where they cannot be, with the
    reason, and off never fuses.
    """
    if wanted == "off":
        return None
    reason = _why_not(model)
    if wanted == "cce":
        reason = reason or _why_no_kernel(next(model.parameters()).device.type)
    if reason and wanted != "auto":
        raise SwiftError(f"--fused_loss {wanted} is not possible here: {reason}. Leave it out.")
    return None if reason else base_of(model).get_output_embeddings()


def _why_no_kernel(device: str) -> str | None:
    if device == "cpu":
        return "Cut Cross-Entropy is written in Triton, which needs a GPU"
    spec = importlib.util.find_spec("cut_cross_entropy")
    return None if spec else "it is not installed (pip install cut-cross-entropy)"


def _why_not(model: Any) -> str | None:
    """Why the head of a model cannot compute the loss; None where it can."""
    head = base_of(model).get_output_embeddings()
    if type(head) is not nn.Linear:
        return f"the head of {type(base_of(model)).__name__} is {type(head).__name__}, not a plain linear layer"
    if "forward" in vars(head):
        return "something else has taken the place of the head's forward"
    if not _ends_with(model, head):
        return f"{type(base_of(model)).__name__} scales, caps or mends the logits behind its head"
    return None


def _ends_with(model: Any, head: nn.Linear) -> bool:
    """Whether the logits of a model are what its head gives, tried on a few tokens and large hidden states."""
    given: list[torch.Tensor] = []

    def enlarge(_: Any, inputs: Any) -> Any:
        given.append(inputs[0] * LARGE)
        return (given[-1],)

    ids = torch.arange(1, min(9, head.out_features), device=head.weight.device)[None]
    hook, trains = head.register_forward_pre_hook(enlarge), model.training
    model.eval()
    try:
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):  # wants more than text
        return False
    finally:
        hook.remove()
        model.train(trains)
    if len(given) != 1:
        return False
    with torch.no_grad():
        return torch.allclose(logits.float(), head(given[0]).float()[:, -logits.shape[1] :], rtol=1e-3, atol=1e-4)


@contextmanager
def fused_loss_in_head(head: nn.Linear, kernel: str, targets: torch.Tensor, weights: torch.Tensor) -> Iterator[None]:
    """Inside, the head answers with the weighted sum of the losses, [1, 1, 1], instead of logits.

    targets: the label of the next token at each place, [rows, tokens]; weights: one per trained token, in order.
    """
    wanted = targets != IGNORED

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        states = hidden[:, -targets.shape[1] :][wanted]  # virtual tokens may stand before the row
        parts: tuple[torch.Tensor | None, ...] = (states, head.weight, head.bias)
        if not torch.is_grad_enabled():  # a Function sees requires_grad alone, and would compute gradients for nobody
            parts = tuple(None if t is None else t.detach() for t in parts)
        return KERNELS[kernel](*parts, targets[wanted], weights)[None, None, None]

    with answering(head, forward=forward):
        yield
