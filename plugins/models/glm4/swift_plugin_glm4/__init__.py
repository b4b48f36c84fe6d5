"""GLM-4-0414 and GLM-Z1, 9B and 32B."""

from swift_core import Family, Modules

card = Family(
    name="glm4",
    summary="GLM-4-0414 and GLM-Z1, 9B and 32B.",
    architectures=("Glm4ForCausalLM",),
    config_types=("glm4",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "glm4": """
ZhipuAI/GLM-4-9B-0414 = zai-org/GLM-4-9B-0414
ZhipuAI/GLM-4-32B-0414 = zai-org/GLM-4-32B-0414
ZhipuAI/GLM-4-32B-Base-0414 = zai-org/GLM-4-32B-Base-0414
ZhipuAI/GLM-Z1-9B-0414 = zai-org/GLM-Z1-9B-0414
ZhipuAI/GLM-Z1-32B-0414 = zai-org/GLM-Z1-32B-0414
""",
        "glm4_z1_rumination": """
ZhipuAI/GLM-Z1-Rumination-32B-0414 = zai-org/GLM-Z1-Rumination-32B-0414
""",
    },
)
