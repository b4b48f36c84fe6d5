"""Qwen2.5-Math process reward models: a score per step."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_5_prm",
    summary="Qwen2.5-Math process reward models: a score per step.",
    architectures=("Qwen2ForProcessRewardModel",),
    task="prm",
    modules=Modules(language_model=("model", "score")),
    remote_code="its modeling code lies in the checkpoint; transformers has no Qwen2ForProcessRewardModel",
    checkpoints={
        "qwen2_5_math_prm": """
Qwen/Qwen2.5-Math-PRM-7B
Qwen/Qwen2.5-Math-7B-PRM800K
Qwen/Qwen2.5-Math-PRM-72B
""",
    },
)
