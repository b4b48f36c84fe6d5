"""Says so where the first step of a run gave some tuner of several no gradient at all."""

from __future__ import annotations

from typing import Any

from swift_core.contract.job import Job
from swift_core.contract.tuning import tuning_of
from swift_plugin_runtime.loading.layers import unwrapped


def say_untouched(job: Job, model: Any) -> None:
    """Print a line for every tuner none of whose parameters has a gradient, while others have.

    Gradients that are dropped as soon as they are used, or split among processes, are not there for any tuner; then
    nothing can be said.
    """
    model = unwrapped(model)
    reached = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    training = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    for label, names in tuning_of(model).owned.items():
        own = training & set(names)
        if reached and own and not own & reached:
            job.say(
                f"tuner {label}: none of its {len(own)} parameters got a gradient in the first step, {min(own)} for "
                "instance. Either these rows do not reach them, or another tuner stands before them."
            )
