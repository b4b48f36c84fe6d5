"""Step-Audio 2 mini: speech and sound."""

from swift_core.models import Family, Modules

card = Family(
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
