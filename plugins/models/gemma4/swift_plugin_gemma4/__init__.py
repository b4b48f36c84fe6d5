"""Gemma 4: text, pictures, videos and audio."""

from swift_core import Family, Modules

card = Family(
    name="gemma4",
    summary="Gemma 4: text, pictures, videos and audio.",
    architectures=("Gemma4ForConditionalGeneration",),
    config_types=("gemma4",),
    modality=("text", "image", "video", "audio"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.embed_vision", "model.embed_audio"),
        vision_tower=("model.vision_tower",),
        audio_tower=("model.audio_tower",),
    ),
    checkpoints={
        "gemma4_nothinking": """
google/gemma-4-E2B
google/gemma-4-E2B-it
google/gemma-4-E4B
google/gemma-4-E4B-it
""",
        "gemma4": """
google/gemma-4-31B
google/gemma-4-31B-it
google/gemma-4-26B-A4B
google/gemma-4-26B-A4B-it
""",
    },
)
