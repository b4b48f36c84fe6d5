"""Step-Audio 2 mini: speech and sound."""

from typing import Any

from swift_core import Family, Modules, hookimpl


class StepAudio2Mini(Family):
    """Its code writes features of sound into the embeddings in place, which autograd refuses."""

    @hookimpl
    def patch_model(self, model: Any) -> None:
        from swift_plugin_runtime.loading.repairs import in_place_writes

        in_place_writes(model, "model.embed_tokens")


card = StepAudio2Mini(
    name="step_audio2_mini",
    summary="Step-Audio 2 mini: speech and sound.",
    architectures=("StepAudio2ForCausalLM",),
    modality=("text", "audio"),
    modules=Modules(language_model=("model", "lm_head"), aligner=("adapter",), audio_tower=("encoder",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no StepAudio2ForCausalLM",
    requires=("librosa", "torchaudio", "transformers==4.53.3"),
    checkpoints={
        "step_audio2_mini": """
stepfun-ai/Step-Audio-2-mini
""",
    },
)
