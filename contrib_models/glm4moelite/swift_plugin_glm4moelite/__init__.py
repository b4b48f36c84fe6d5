"""GLM-4.7 Flash: a small mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="glm4_moe_lite",
    summary="GLM-4.7 Flash: a small mixture of experts.",
    architectures=("Glm4MoeLiteForCausalLM",),
    config_types=("glm4_moe_lite",),
    modules=Modules(language_model=("model", "lm_head")),
    checkpoints={
        "glm4_7": """
ZhipuAI/GLM-4.7-Flash = zai-org/GLM-4.7-Flash
""",
    },
)
