"""GLM-5.3 Flash: pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="glm5_next",
    summary="GLM-5.3 Flash: pictures and videos.",
    architectures=("Glm5NextForConditionalGeneration",),
    config_types=("glm5_next",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "glm5_next": """
ZhipuAI/GLM-5.3-Flash = zai-org/GLM-5.3-Flash
ZhipuAI/GLM-5.3-Flash-BF16 = zai-org/GLM-5.3-Flash-BF16
""",
    },
)
