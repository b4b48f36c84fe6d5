"""Options that methods with rollouts share. No torch here: lists and help texts import this."""

from __future__ import annotations

from dataclasses import dataclass

from swift_core import Unsupported, option
from swift_plugin_runtime.options import TrainingOptions


@dataclass(kw_only=True, eq=False)
class RolloutOptions(TrainingOptions):
    """How answers are drawn and scored, and how many steps are made on them."""

    swift_api = 1
    needs_answer = False
    draws = True
    capabilities = {
        "packing": Unsupported("answers are drawn during training and cannot be packed beforehand."),
        "deepspeed": Unsupported(
            "a step's answers go through the model in several passes, and DeepSpeed would make a step after each."
        ),
        "fsdp": Unsupported(
            "a process draws answers by as many calls of the model as they are long, and each call of a split model "
            "waits for all processes."
        ),
    }

    num_generations: int = option(1, "Answers drawn to each prompt.", ge=1)
    num_iterations: int = option(1, "μ: optimizer steps made on each rollout.", ge=1)
    max_completion_length: int = option(512, "Longest drawn answer in tokens.", ge=1)
    max_turns: int = option(8, "Most answers in one conversation, where an --environment responds.", ge=1)
    temperature: float = option(1.0, "Softmax temperature of drawing and of the likelihoods.", gt=0)
    top_p: float = option(1.0, "Nucleus: smallest set of tokens with this mass.", gt=0, le=1)
    top_k: int = option(0, "Only the k likeliest tokens; 0: all.", ge=0)
    beta: float = option(0.05, "β: weight of the KL divergence from the reference in the reward; 0: none.", ge=0)
    epsilon: float = option(0.2, "ε: the ratio is clipped at 1 - ε …", gt=0, lt=1)
    epsilon_high: float | None = option(None, "… and at 1 + ε_high; left out: ε.", gt=0)
    reward_weights: list[float] = option([], "Weight of each reward, in their order; left out: 1 each.")
    mask_truncated: bool = option(
        False,
        "Do not learn from answers that were cut at max_completion_length (DAPO's overlong filter).",
        aliases=("mask_truncated_completions", "overlong_filter"),
    )
    generation_batch_size: int | None = option(None, "Answers drawn together; left out: all of a step.", ge=1)
    micro_batch_size: int | None = option(
        8, "Answers in one forward and backward pass.", ge=1, aliases=("completions_per_pass",)
    )
