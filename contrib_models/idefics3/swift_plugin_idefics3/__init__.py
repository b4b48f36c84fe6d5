"""Idefics3 8B: pictures in tiles on Llama 3."""

from swift_core import Family, Modules

card = Family(
    name="idefics3",
    summary="Idefics3 8B: pictures in tiles on Llama 3.",
    architectures=("Idefics3ForConditionalGeneration",),
    config_types=("idefics3",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.text_model", "lm_head"),
        aligner=("model.connector",),
        vision_tower=("model.vision_model",),
    ),
    checkpoints={
        "idefics3": """
AI-ModelScope/Idefics3-8B-Llama3 = HuggingFaceM4/Idefics3-8B-Llama3
""",
    },
)
