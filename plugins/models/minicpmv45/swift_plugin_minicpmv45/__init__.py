"""MiniCPM-V 4.5."""

from swift_core import Family, Modules

card = Family(
    name="minicpmv4_5",
    bbox="minicpmv",
    summary="MiniCPM-V 4.5.",
    architectures=("MiniCPMV",),
    tells={"version": 4.5},
    modality=("text", "image", "video"),
    modules=Modules(language_model=("llm",), aligner=("resampler",), vision_tower=("vpm",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMV",
    requires=("decord", "timm"),
    checkpoints={
        "minicpmv4_5": """
OpenBMB/MiniCPM-V-4_5 = openbmb/MiniCPM-V-4_5
""",
    },
)
