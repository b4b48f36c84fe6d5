"""GLM-5: mixture of experts with sparse attention."""

from swift_core import Family, Modules, Unsupported

card = Family(
    name="glm_moe_dsa",
    summary="GLM-5: mixture of experts with sparse attention.",
    architectures=("GlmMoeDsaForCausalLM",),
    config_types=("glm_moe_dsa",),
    modules=Modules(language_model=("model", "lm_head")),
    capabilities={"packing": Unsupported("its indexer picks among the tokens of all rows of a pack.")},
    checkpoints={
        "glm4_7": """
ZhipuAI/GLM-5 = zai-org/GLM-5
""",
        "glm5_1": """
ZhipuAI/GLM-5.1 = zai-org/GLM-5.1
ZhipuAI/GLM-5.1-FP8
""",
        "glm5_2": """
ZhipuAI/GLM-5.2
ZhipuAI/GLM-5.2-FP8
""",
        "glm5_3": """
ZhipuAI/GLM-5.3 = zai-org/GLM-5.3
ZhipuAI/GLM-5.3-BF16 = zai-org/GLM-5.3-BF16
""",
    },
)
