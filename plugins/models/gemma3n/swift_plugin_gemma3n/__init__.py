"""Gemma 3n: text, pictures and audio on small devices."""

from swift_core import Family, Modules

card = Family(
    name="gemma3n",
    summary="Gemma 3n: text, pictures and audio on small devices.",
    architectures=("Gemma3nForConditionalGeneration",),
    config_types=("gemma3n",),
    modality=("text", "image", "audio"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.embed_vision", "model.embed_audio"),
        vision_tower=("model.vision_tower",),
        audio_tower=("model.audio_tower",),
    ),
    requires=("timm",),
    checkpoints={
        "gemma3n": """
google/gemma-3n-E2B
google/gemma-3n-E4B
google/gemma-3n-E2B-it
google/gemma-3n-E4B-it
""",
    },
)
