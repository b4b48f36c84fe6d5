"""What our own optimizers share: AdamW for most weights, a rule of their own for matrices, one weight at a time.

Imported by `create_optimizer`, so torch is imported at the top.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import torch

from swift_core import SwiftError
from swift_core.contract.job import Job
from swift_plugin_runtime.options import training_options
from swift_plugin_runtime.training.arguments import learning_rate

Group = dict[str, Any]
State = dict[str, Any]


class Stepwise(torch.optim.Optimizer):
    """Groups with `matrix: True` go by `update_matrix`, the others by AdamW.

    layerwise: each weight is updated as soon as the backward pass has its gradient, which is then dropped, so
    that one gradient at a time is held.
    """

    around: Any = staticmethod(contextlib.nullcontext)
    """A context that is given {weight: gradient}: inside, weights in 16 bits are float32 (`masters`)."""

    def __init__(self, groups: Iterable[Group], layerwise: bool = False, **defaults: Any):
        super().__init__(list(groups), {"matrix": False, **defaults})
        self.layerwise = layerwise
        self.place = {id(p): n for n, group in enumerate(self.param_groups) for p in group["params"]}
        if layerwise:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.requires_grad:
                        parameter.register_post_accumulate_grad_hook(self._update_now)

    def _update_now(self, parameter: Any) -> None:
        self.change(parameter)
        parameter.grad = None

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """One step; under `layerwise` the backward pass has taken it."""
        if not self.layerwise:
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self.change(parameter)

    def change(self, parameter: Any) -> None:
        """Change one weight by its gradient, in float32."""
        gradient = parameter.grad
        with self.around({parameter: gradient}):
            self.update(parameter)
        parameter.grad = gradient

    @torch.no_grad()
    def update(self, parameter: Any) -> None:
        """Change one weight by its gradient."""
        group, state = self.param_groups[self.place[id(parameter)]], self.state[parameter]
        state["step"] = state.get("step", 0) + 1
        if group["matrix"]:
            self.update_matrix(parameter, parameter.grad, group, state)
        else:
            decay(parameter, group)
            parameter.add_(adam_direction(parameter.grad, group, state), alpha=-group["lr"])

    def update_matrix(self, parameter: Any, gradient: Any, group: Group, state: State) -> None:
        """The rule for matrices; state holds `step`, counted from 1, and what the rule keeps."""
        raise NotImplementedError


def adam_direction(gradient: Any, group: Group, state: State) -> Any:
    """m̂/(√v̂ + ε) of Adam (Kingma & Ba, arXiv 1412.6980), moments kept in `state` in the gradient's shape."""
    b1, b2 = group["betas"]
    if "exp_avg" not in state:
        state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state["exp_avg"].mul_(b1).add_(gradient, alpha=1 - b1)
    state["exp_avg_sq"].mul_(b2).addcmul_(gradient, gradient, value=1 - b2)
    first = state["exp_avg"] / (1 - b1 ** state["step"])
    second = state["exp_avg_sq"] / (1 - b2 ** state["step"])
    return first / (second.sqrt() + group["eps"])


def decay(parameter: Any, group: Group) -> None:
    """AdamW's decoupled decay: W ← (1 − lr·λ)·W."""
    parameter.mul_(1 - group["lr"] * group["weight_decay"])


def adam_settings(job: Job) -> dict[str, Any]:
    """lr, betas and eps of the job."""
    o = training_options(job)
    return {"lr": learning_rate(job), "betas": (o.adam_beta1, o.adam_beta2), "eps": 1e-8}


def groups(job: Job, model: Any, matrices: Iterable[Any] = (), **matrix: Any) -> list[Group]:
    """Trainable parameters as groups: `matrices` with the settings `matrix`, others, and vectors without decay."""
    chosen = list(matrices)
    ids = {id(p) for p in chosen}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in ids]
    wanted = training_options(job).weight_decay
    made: list[Group] = [
        {"params": chosen, "weight_decay": wanted, "matrix": True, **matrix},
        {"params": [p for p in rest if p.dim() > 1], "weight_decay": wanted},
        {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
    ]
    return [group for group in made if group["params"]]


def hidden_matrices(model: Any, targets: list[str] | None = None) -> list[Any]:
    """Trainable weights of linear layers: all but the head's, or those whose names hold one of `targets`.

    Raises SwiftError where there is none.
    """
    head = model.get_output_embeddings()
    matrices = [
        module.weight
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear)
        and module.weight.requires_grad
        and (any(part in name for part in targets) if targets else module is not head)
    ]
    if not matrices:
        raise SwiftError(f"No linear layer that trains fits {targets or 'all-linear'}: say --tuner full.")
    return matrices


def check_layerwise(job: Job, name: str) -> None:
    """A gradient that is used at once can be neither summed over batches nor clipped by the norm of all.

    Raises SwiftError for --gradient_accumulation_steps above 1, and says where --max_grad_norm is not used.
    """
    if training_options(job).gradient_accumulation_steps > 1:
        raise SwiftError(
            f"{name} uses each gradient as soon as it is there, so batches cannot be summed: say "
            "--gradient_accumulation_steps 1, and a larger --per_device_train_batch_size."
        )
    if training_options(job).max_grad_norm:
        job.say(f"{name}: gradients are used one by one, so --max_grad_norm clips none of them")
