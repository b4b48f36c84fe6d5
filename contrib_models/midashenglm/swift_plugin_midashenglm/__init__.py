"""MiDashengLM: sounds, music and speech."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class MiDashengLM(Family):
    """Its code writes features of sound into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "decoder.model.embed_tokens")


card = MiDashengLM(
    name="midashenglm",
    summary="MiDashengLM: sounds, music and speech.",
    architectures=("MiDashengLMModel",),
    modality=("text", "audio"),
    modules=Modules(language_model=("decoder",), aligner=("audio_projector",), audio_tower=("audio_encoder",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiDashengLMModel",
    requires=("soundfile",),
    checkpoints={
        "midashenglm": """
mispeech/midashenglm-7b
""",
    },
)
