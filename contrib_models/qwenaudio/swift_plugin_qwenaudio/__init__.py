"""Qwen-Audio: speech, sounds and music on Qwen."""

from swift_core.models import Family, Modules

card = Family(
    name="qwen_audio",
    summary="Qwen-Audio: speech, sounds and music on Qwen.",
    architectures=("QWenLMHeadModel",),
    tells={"audio": True},
    modality=("text", "audio"),
    modules=Modules(language_model=("transformer.h", "lm_head"), audio_tower=("transformer.audio",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no QWenLMHeadModel",
    extra_files=("mel_filters.npz",),
    checkpoints={
        "qwen_audio": """
Qwen/Qwen-Audio-Chat
Qwen/Qwen-Audio
""",
    },
)
