"""Qwen2-Audio: voice chat and sound analysis."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_audio",
    summary="Qwen2-Audio: voice chat and sound analysis.",
    architectures=("Qwen2AudioForConditionalGeneration",),
    config_types=("qwen2_audio",),
    modality=("text", "audio"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        audio_tower=("model.audio_tower",),
    ),
    checkpoints={
        "qwen2_audio": """
Qwen/Qwen2-Audio-7B-Instruct
Qwen/Qwen2-Audio-7B
""",
    },
)
