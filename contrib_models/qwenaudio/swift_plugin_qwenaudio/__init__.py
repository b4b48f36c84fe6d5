"""Qwen-Audio: speech, sounds and music on Qwen."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class QwenAudio(Family):
    """Its code writes features of sound into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "transformer.drop")


card = QwenAudio(
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
