"""Gemma 4 12B: pictures and audio without towers."""

from swift_core import Family, Modules

card = Family(
    name="gemma4_unified",
    summary="Gemma 4 12B: pictures and audio without towers.",
    architectures=("Gemma4UnifiedForConditionalGeneration",),
    config_types=("gemma4_unified",),
    modality=("text", "image", "video", "audio"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        vision_tower=("model.embed_vision",),
        audio_tower=("model.embed_audio",),
    ),
    checkpoints={
        "gemma4": """
google/gemma-4-12B
google/gemma-4-12B-it
""",
    },
)
