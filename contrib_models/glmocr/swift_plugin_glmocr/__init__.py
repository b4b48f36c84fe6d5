"""GLM-OCR: text, tables and formulas of documents."""

from swift_core import Family, Modules

card = Family(
    name="glm_ocr",
    summary="GLM-OCR: text, tables and formulas of documents.",
    architectures=("GlmOcrForConditionalGeneration",),
    config_types=("glm_ocr",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "glm_ocr": """
ZhipuAI/GLM-OCR = zai-org/GLM-OCR
""",
    },
)
