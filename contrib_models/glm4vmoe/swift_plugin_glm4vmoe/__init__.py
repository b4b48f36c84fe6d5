"""GLM-4.5V and 4.6V: pictures and videos on a mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="glm4v_moe",
    summary="GLM-4.5V and 4.6V: pictures and videos on a mixture of experts.",
    architectures=("Glm4vMoeForConditionalGeneration",),
    config_types=("glm4v_moe",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "glm4_5v": """
ZhipuAI/GLM-4.5V = zai-org/GLM-4.5V
ZhipuAI/GLM-4.5V-FP8 = zai-org/GLM-4.5V-FP8
ZhipuAI/GLM-4.6V = zai-org/GLM-4.6V
ZhipuAI/GLM-4.6V-FP8 = zai-org/GLM-4.6V-FP8
""",
    },
)
