"""Qwen2.5-Omni: text, pictures, videos and audio in, text and speech out."""

from typing import Any

from swift_core import Family, Modules, hookimpl

THINKER = ("forward", "generate", "get_input_embeddings", "get_output_embeddings")


class Qwen25Omni(Family):
    """The whole model cannot be called; its thinker is what reads everything and writes text."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        for name in THINKER:
            setattr(model, name, getattr(model.thinker, name))


card = Qwen25Omni(
    name="qwen2_5_omni",
    summary="Qwen2.5-Omni: text, pictures, videos and audio in, text and speech out.",
    architectures=("Qwen2_5OmniModel", "Qwen2_5OmniForConditionalGeneration"),
    config_types=("qwen2_5_omni",),
    modality=("text", "image", "video", "audio"),
    bbox="real",
    modules=Modules(
        language_model=("thinker.model.language_model", "thinker.lm_head"),
        aligner=("thinker.model.visual.merger", "thinker.model.audio_tower.proj"),
        vision_tower=("thinker.model.visual",),
        audio_tower=("thinker.model.audio_tower",),
        generator=("talker", "token2wav"),
    ),
    extra_files=("spk_dict.pt",),
    checkpoints={
        "qwen2_5_omni": """
Qwen/Qwen2.5-Omni-3B
Qwen/Qwen2.5-Omni-7B
""",
    },
)
