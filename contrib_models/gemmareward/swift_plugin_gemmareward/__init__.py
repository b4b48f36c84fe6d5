"""Skywork reward models on Gemma 2."""

from swift_core import Family, Modules

card = Family(
    name="gemma_reward",
    summary="Skywork reward models on Gemma 2.",
    architectures=("Gemma2ForSequenceClassification",),
    config_types=("gemma2",),
    task="reward",
    modules=Modules(language_model=("model", "score")),
    checkpoints={
        "gemma": """
AI-ModelScope/Skywork-Reward-Gemma-2-27B = Skywork/Skywork-Reward-Gemma-2-27B
AI-ModelScope/Skywork-Reward-Gemma-2-27B-v0.2 = Skywork/Skywork-Reward-Gemma-2-27B-v0.2
""",
    },
)
