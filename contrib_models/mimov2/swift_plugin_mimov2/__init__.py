"""MiMo V2.5: text, pictures, videos and audio."""

from swift_core import Family, Modules

card = Family(
    name="mimo_v2",
    summary="MiMo V2.5: text, pictures, videos and audio.",
    architectures=("MiMoV2ForCausalLM",),
    modality=("text", "image", "video", "audio"),
    bbox="real",
    modules=Modules(
        language_model=("model", "lm_head"),
        aligner=("visual.merger",),
        vision_tower=("visual",),
        audio_tower=("audio_encoder",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiMoV2ForCausalLM",
    requires=("decord", "qwen_vl_utils>0.0.6", "torchaudio"),
    checkpoints={
        "mimo_v2": """
XiaomiMiMo/MiMo-V2.5
""",
    },
)
