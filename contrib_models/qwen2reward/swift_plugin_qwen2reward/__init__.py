"""Qwen2 and Qwen2.5-Math reward models."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_reward",
    summary="Qwen2 and Qwen2.5-Math reward models.",
    architectures=("Qwen2ForRewardModel",),
    task="reward",
    modules=Modules(language_model=("model", "score")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Qwen2ForRewardModel",
    checkpoints={
        "qwen": """
Qwen/Qwen2-Math-RM-72B
""",
        "qwen2_5_math": """
Qwen/Qwen2.5-Math-RM-72B
""",
    },
)
