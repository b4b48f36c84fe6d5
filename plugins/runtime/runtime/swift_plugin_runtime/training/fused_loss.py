"""Output head and cross-entropy in one: logits of a few trained tokens at a time, never of all of them.

With a vocabulary of 150,000 the logits of 2,000 tokens, their softmax and its gradient take gigabytes. Here the head
is handed the positions that are trained alone, goes through them part by part, and keeps of each part its share of
the gradient, which it knows as soon as it knows the logits (as Liger's kernel does, Hsu et al., arXiv 2410.10989).
The rest of the model does not notice: inside `fused_loss_in_head`, its head answers with a loss where logits would be.

Methods that compare answers want the log-probability of each token: inside `logps_in_head` the head answers with those.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn
from torch.nn import functional

from swift_core import SwiftError
from swift_core.templates.encode import IGNORED
from swift_plugin_runtime.loading.layers import base_of
from swift_plugin_runtime.loading.shallow import tried
from swift_plugin_runtime.training.sharding import answering

TOGETHER, TRAINED = 2**24, 512
"""Logits that are held at a time, 64 MiB in float32; but those of so many tokens where the head trains, since each part
adds to the gradient of the whole head."""

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
        grads, total = _Gradients(inputs, wanted), torch.zeros((), device=hidden.device)
        for place in _parts(len(targets), len(weight), any(wanted[1:])):
            logits = functional.linear(states[place], head, bias)
            loss, slopes = _losses(logits, targets[place], weights[place], any(wanted))
            total += loss
            if slopes is not None:
                grads.add(place, slopes.to(states.dtype), states[place], head)
        ctx.grads = grads.whole()
        return total

    @staticmethod
    def backward(ctx: Any, scale: Any) -> Any:
        """Gradients are scaled where they are and handed over. Raises SwiftError for a second call: none are left."""
        grads, ctx.grads = ctx.grads, None
        if grads is None:
            raise SwiftError(
                "The fused loss makes its gradients with the loss and hands them to the first backward(); this is a "
                "second one through the same loss. Add losses up and call it once, or say --fused_loss off."
            )
        return (*(None if g is None else g.mul_(scale) for g in grads), None, None)


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


class _Gradients:
    """Gradients of hidden states [tokens, size], weight [vocabulary, size] and bias, as far as each is wanted.

    They come from one part of the tokens after the other. The first share of a weight is taken as it is, so that one
    part costs no sum; more are added to it in float32.
    """

    def __init__(self, inputs: Any, wanted: Any):
        self.inputs, self.wanted = inputs, wanted
        self.found = [torch.empty_like(inputs[0]) if wanted[0] else None, None, None]

    def add(self, place: slice, slopes: torch.Tensor, states: torch.Tensor, head: torch.Tensor) -> None:
        """The share of the tokens in `place`. slopes: [tokens there, vocabulary]."""
        if self.found[0] is not None:
            self.found[0][place] = slopes @ head
        if self.wanted[1]:
            self._sum(1, slopes.T @ states)
        if self.wanted[2]:
            self._sum(2, slopes.sum(0))

    def _sum(self, index: int, share: torch.Tensor) -> None:
        before = self.found[index]
        self.found[index] = share if before is None else before.float().add_(share)

    def whole(self) -> list[Any]:
        """All of them in the types of their tensors; None where none is wanted."""
        return [
            (torch.zeros_like(t) if g is None else g.to(t.dtype)) if w else None
            for g, t, w in zip(self.found, self.inputs, self.wanted, strict=True)
        ]


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
    name = type(base_of(model)).__name__
    if type(head) is not nn.Linear:
        return f"the head of {name} is {type(head).__name__}, not a plain linear layer"
    if "forward" in vars(head):
        return "something else has taken the place of the head's forward"
    scaled = f"{name} scales, caps or mends the logits behind its head"
    return tried(model, lambda: None if _ends_with(model, head) else scaled)


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


class HeadLogps(torch.autograd.Function):
    """log softmax((W hᵢ + b) / t) at yᵢ in nats, [tokens] in float32, without all logits at a time.

    hidden: [tokens, size]; weight: [vocabulary, size]; bias: [vocabulary] or None; targets: [tokens]; t: temperature.
    Where the head is frozen, the slope by each hidden state is kept from the first pass; where it trains, logits are
    made again for the gradients.
    """

    @staticmethod
    def forward(ctx: Any, hidden: Any, weight: Any, bias: Any, targets: Any, temperature: float) -> torch.Tensor:
        """One log-probability per token. The class names the shapes."""
        ctx.types, wanted = [None if t is None else t.dtype for t in (hidden, weight, bias)], ctx.needs_input_grad
        states, head = (t.to(_precision(t)) for t in (hidden, weight))
        ctx.again = any(wanted[1:3])
        slopes = torch.empty_like(states) if wanted[0] and not ctx.again else None
        logps = torch.empty(len(targets), device=hidden.device)
        for place in _parts(len(targets), len(head), False):
            chances, logps[place] = _chances(states[place], head, bias, targets[place], temperature)
            if slopes is not None:
                slopes[place] = _slopes(chances, targets[place], temperature).to(states.dtype) @ head
        ctx.temperature = temperature
        ctx.save_for_backward(slopes, *((states, head, bias, targets) if ctx.again else ()))
        return logps

    @staticmethod
    def backward(ctx: Any, scale: Any) -> Any:
        slopes, *given = ctx.saved_tensors
        if not ctx.again:
            return None if slopes is None else (slopes * scale[:, None]).to(ctx.types[0]), None, None, None, None
        states, head, bias, targets = given
        grads = _Gradients((states, head, bias), ctx.needs_input_grad[:3])
        for place in _parts(len(targets), len(head), True):
            chances, _ = _chances(states[place], head, bias, targets[place], ctx.temperature)
            slope = _slopes(chances, targets[place], ctx.temperature).mul_(scale[place, None])
            grads.add(place, slope.to(states.dtype), states[place], head)
        found = zip(grads.whole(), ctx.types, strict=True)
        return (*(None if g is None else g.to(t) for g, t in found), None, None)


def tokens_together(vocabulary: int, trains: bool) -> int:
    """Tokens whose logits are held at a time. trains: whether the head does."""
    return max(TOGETHER // vocabulary, TRAINED if trains else 1)


def _parts(tokens: int, vocabulary: int, trains: bool) -> Iterator[slice]:
    step = tokens_together(vocabulary, trains)
    return (slice(first, first + step) for first in range(0, tokens, step))


def _chances(states: Any, head: Any, bias: Any, targets: Any, temperature: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(logits less the logarithm of their sum, [tokens, vocabulary]; what of it belongs to the targets, [tokens])."""
    logits = functional.linear(states, head, bias).float()
    logits = logits.div_(temperature) if temperature != 1 else logits
    logits = logits.sub_(logits.logsumexp(-1, keepdim=True))
    return logits, logits.gather(1, targets[:, None])[:, 0]


def _slopes(chances: Any, targets: Any, temperature: float) -> torch.Tensor:
    """The derivative of log-probabilities by logits, from logarithms of probabilities, in their place."""
    slopes: torch.Tensor = chances.exp_().neg_()
    slopes[torch.arange(len(targets), device=targets.device), targets] += 1
    return slopes if temperature == 1 else slopes.div_(temperature)


def _cut_logps(hidden: Any, weight: Any, bias: Any, targets: Any, temperature: float) -> torch.Tensor:
    """The same through Cut Cross-Entropy's kernel, which needs a GPU."""
    from cut_cross_entropy import linear_cross_entropy

    scaled = hidden if temperature == 1 else hidden / temperature
    bias = bias if bias is None or temperature == 1 else bias / temperature
    losses: torch.Tensor = linear_cross_entropy(scaled, weight, targets, bias=bias, reduction="none")
    return -losses


LOGPS: dict[str, Any] = {"auto": HeadLogps.apply, "chunked": HeadLogps.apply, "cce": _cut_logps}
"""Values of --fused_loss → what computes log-probabilities in the head."""

_HEADS: WeakKeyDictionary[Any, tuple[nn.Linear, str]] = WeakKeyDictionary()
"""Model without its wrappers → (head, kernel) by which it answers with log-probabilities."""


def fuse_logps(model: Any, wanted: str) -> None:
    """From now on `logps_head` knows the head of a model, if it can answer with log-probabilities.

    wanted: --fused_loss, as for `head_for`, which raises SwiftError.
    """
    head = head_for(model, wanted)
    if head is not None:
        _HEADS[base_of(model)] = head, wanted


def logps_head(model: Any) -> tuple[nn.Linear, str] | None:
    """(head, kernel) of a model, wrapped or not, whose log-probabilities are computed in its head; else None.

    A head that something else listens to makes logits.
    """
    found = _HEADS.get(base_of(model))
    return None if found is None or found[0]._forward_hooks else found


@contextmanager
def logps_in_head(
    head: nn.Linear, kernel: str, places: torch.Tensor | None, targets: torch.Tensor, temperature: float
) -> Iterator[None]:
    """Inside, the head answers with the log-probabilities of the targets, [1, targets, 1], instead of logits.

    places: where in the flat row the hidden states are that foretell the targets; None: it is handed those alone.
    """

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        states = hidden[0] if places is None else hidden[0, places]
        if not isinstance(head.weight, nn.Parameter) and hasattr(head.weight, "full_tensor"):  # split among processes
            logits = nn.Linear.forward(head, states).float() / temperature
            return -functional.cross_entropy(logits, targets, reduction="none")[None, :, None]
        parts: tuple[torch.Tensor | None, ...] = (states, head.weight, head.bias)
        if not torch.is_grad_enabled():
            parts = tuple(None if t is None else t.detach() for t in parts)
        logps: torch.Tensor = LOGPS[kernel](*parts, targets, temperature)
        return logps[None, :, None]

    with answering(head, forward=forward):
        yield
