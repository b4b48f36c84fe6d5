"""The audio model of InternLM-XComposer 2.5 OmniLive."""

from swift_core import Family, Modules

card = Family(
    name="xcomposer2_5_ol_audio",
    summary="The audio model of InternLM-XComposer 2.5 OmniLive.",
    architectures=("Qwen2AudioForConditionalGeneration",),
    config_types=("qwen2_audio",),
    named=("xcomposer2d5",),
    modality=("text", "audio"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.multi_modal_projector",),
        audio_tower=("model.audio_tower",),
    ),
    checkpoints={
        "qwen2_audio": """
Shanghai_AI_Laboratory/internlm-xcomposer2d5-ol-7b:audio = internlm/internlm-xcomposer2d5-ol-7b:audio
""",
    },
)
