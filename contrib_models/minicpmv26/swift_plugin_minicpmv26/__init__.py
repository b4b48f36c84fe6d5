"""MiniCPM-V 2.6: several pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="minicpmv2_6",
    bbox="minicpmv",
    summary="MiniCPM-V 2.6: several pictures and videos.",
    architectures=("MiniCPMV",),
    tells={"version": 2.6},
    modality=("text", "image", "video"),
    modules=Modules(language_model=("llm",), aligner=("resampler",), vision_tower=("vpm",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMV",
    requires=("decord", "timm"),
    checkpoints={
        "minicpmv2_6": """
OpenBMB/MiniCPM-V-2_6 = openbmb/MiniCPM-V-2_6
""",
    },
)
