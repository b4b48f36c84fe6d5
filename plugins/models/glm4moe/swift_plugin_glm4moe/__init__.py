"""GLM-4.5, 4.6 and 4.7: mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="glm4_moe",
    summary="GLM-4.5, 4.6 and 4.7: mixture of experts.",
    architectures=("Glm4MoeForCausalLM",),
    config_types=("glm4_moe",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "glm4_5": """
ZhipuAI/GLM-4.5-Air-Base = zai-org/GLM-4.5-Air-Base
ZhipuAI/GLM-4.5-Air = zai-org/GLM-4.5-Air
ZhipuAI/GLM-4.5-Air-FP8 = zai-org/GLM-4.5-Air-FP8
ZhipuAI/GLM-4.5-Base = zai-org/GLM-4.5-Base
ZhipuAI/GLM-4.5 = zai-org/GLM-4.5
ZhipuAI/GLM-4.5-FP8 = zai-org/GLM-4.5-FP8
ZhipuAI/GLM-4.6 = zai-org/GLM-4.6
ZhipuAI/GLM-4.6-FP8 = zai-org/GLM-4.6-FP8
""",
        "glm4_7": """
ZhipuAI/GLM-4.7 = zai-org/GLM-4.7
ZhipuAI/GLM-4.7-FP8 = zai-org/GLM-4.7-FP8
""",
    },
)
