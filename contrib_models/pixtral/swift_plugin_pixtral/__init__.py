"""Pixtral 12B: pictures at native resolution."""

from swift_core import Family, Modules

card = Family(
    name="pixtral",
    summary="Pixtral 12B: pictures at native resolution.",
    architectures=("LlavaForConditionalGeneration",),
    config_types=("llava",),
    tells={"vision_config.model_type": "pixtral"},
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "pixtral": """
AI-ModelScope/pixtral-12b = mistral-community/pixtral-12b
""",
    },
)
