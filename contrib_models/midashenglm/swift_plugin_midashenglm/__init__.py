"""MiDashengLM: sounds, music and speech."""

from swift_core.models import Family, Modules

card = Family(
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
