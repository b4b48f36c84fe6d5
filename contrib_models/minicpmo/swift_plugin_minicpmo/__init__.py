"""MiniCPM-o 2.6 and 4.5: pictures, videos and speech."""

from swift_core import Family, Modules

card = Family(
    name="minicpmo",
    bbox="minicpmv",
    summary="MiniCPM-o 2.6 and 4.5: pictures, videos and speech.",
    architectures=("MiniCPMO",),
    modality=("text", "image", "video", "audio"),
    modules=Modules(
        language_model=("llm",),
        aligner=("resampler", "audio_projection_layer"),
        vision_tower=("vpm",),
        audio_tower=("apm",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMO",
    requires=("decord", "minicpmo-utils==1.0.6", "soundfile", "timm"),
    checkpoints={
        "minicpmo": """
OpenBMB/MiniCPM-o-2_6 = openbmb/MiniCPM-o-2_6
""",
        "minicpmo4_5": """
OpenBMB/MiniCPM-o-4_5 = openbmb/MiniCPM-o-4_5
""",
    },
)
