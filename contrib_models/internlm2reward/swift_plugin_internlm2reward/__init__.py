"""InternLM 2 reward models."""

from swift_core import Family, Modules

card = Family(
    name="internlm2_reward",
    summary="InternLM 2 reward models.",
    architectures=("InternLM2ForRewardModel",),
    task="reward",
    modules=Modules(language_model=("model", "v_head")),
    remote_code="its modeling code lies in the checkpoint; transformers has no InternLM2ForRewardModel",
    checkpoints={
        "internlm2_reward": """
Shanghai_AI_Laboratory/internlm2-1_8b-reward = internlm/internlm2-1_8b-reward
Shanghai_AI_Laboratory/internlm2-7b-reward = internlm/internlm2-7b-reward
Shanghai_AI_Laboratory/internlm2-20b-reward = internlm/internlm2-20b-reward
""",
    },
)
