"""GLM-4.1V and 4.6V Flash: pictures and videos, 9B."""

from swift_core import Family, Modules

card = Family(
    name="glm4v",
    summary="GLM-4.1V and 4.6V Flash: pictures and videos, 9B.",
    architectures=("Glm4vForConditionalGeneration",),
    config_types=("glm4v",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "glm4v": """
ZhipuAI/GLM-4.1V-9B-Base = zai-org/GLM-4.1V-9B-Base
ZhipuAI/GLM-4.1V-9B-Thinking = zai-org/GLM-4.1V-9B-Thinking
ZhipuAI/AutoGLM-Phone-9B = zai-org/AutoGLM-Phone-9B
""",
        "glm4_5v": """
ZhipuAI/Glyph = zai-org/Glyph
ZhipuAI/GLM-4.6V-Flash = zai-org/GLM-4.6V-Flash
""",
    },
)
