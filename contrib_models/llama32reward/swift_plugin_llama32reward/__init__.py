"""Reward models on Llama 3.1 and 3.2."""

from swift_core import Family, Modules

card = Family(
    name="llama3_2_reward",
    summary="Reward models on Llama 3.1 and 3.2.",
    architectures=("LlamaForSequenceClassification",),
    config_types=("llama",),
    task="reward",
    modules=Modules(language_model=("model", "score")),
    checkpoints={
        "llama3_2": """
AI-ModelScope/Skywork-Reward-Llama-3.1-8B = Skywork/Skywork-Reward-Llama-3.1-8B
AI-ModelScope/Skywork-Reward-Llama-3.1-8B-v0.2 = Skywork/Skywork-Reward-Llama-3.1-8B-v0.2
AI-ModelScope/GRM_Llama3.1_8B_rewardmodel-ft = Ray2333/GRM_Llama3.1_8B_rewardmodel-ft
AI-ModelScope/GRM-llama3.2-3B-rewardmodel-ft = Ray2333/GRM-llama3.2-3B-rewardmodel-ft
""",
    },
)
