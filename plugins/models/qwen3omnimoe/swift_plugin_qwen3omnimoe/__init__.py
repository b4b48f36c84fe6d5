"""Qwen3-Omni 30B: text, pictures, videos and audio in, text and speech out."""

from typing import Any

from swift_core import Family, Modules, hookimpl

THINKER = ("forward", "generate", "get_input_embeddings", "get_output_embeddings")


class Qwen3OmniMoe(Family):
    """The whole model cannot be called; its thinker is what reads everything and writes text."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        for name in THINKER:
            setattr(model, name, getattr(model.thinker, name))


card = Qwen3OmniMoe(
    name="qwen3_omni_moe",
    summary="Qwen3-Omni 30B: text, pictures, videos and audio in, text and speech out.",
    architectures=("Qwen3OmniMoeForConditionalGeneration",),
    config_types=("qwen3_omni_moe",),
    modality=("text", "image", "video", "audio"),
    modules=Modules(
        language_model=("thinker.model.language_model", "thinker.lm_head"),
        aligner=(
            "thinker.model.visual.merger",
            "thinker.model.visual.merger_list",
            "thinker.model.audio_tower.proj1",
            "thinker.model.audio_tower.proj2",
        ),
        vision_tower=("thinker.model.visual",),
        audio_tower=("thinker.model.audio_tower",),
        generator=("talker", "code2wav"),
    ),
    checkpoints={
        "qwen3_omni": """
Qwen/Qwen3-Omni-30B-A3B-Instruct
Qwen/Qwen3-Omni-30B-A3B-Thinking
Qwen/Qwen3-Omni-30B-A3B-Captioner
""",
    },
)
