"""Qwen3-ASR: speech recognition in many languages."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_asr",
    summary="Qwen3-ASR: speech recognition in many languages.",
    architectures=("Qwen3ASRForConditionalGeneration",),
    config_types=("qwen3_asr",),
    modality=("text", "audio"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        audio_tower=("model.audio_tower",),
    ),
    checkpoints={
        "qwen3_asr": """
Qwen/Qwen3-ASR-1.7B
Qwen/Qwen3-ASR-0.6B
""",
    },
)
