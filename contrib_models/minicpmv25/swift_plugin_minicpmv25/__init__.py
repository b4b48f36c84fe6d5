"""MiniCPM-Llama3-V 2.5."""

from swift_core import Family, Modules

card = Family(
    name="minicpmv2_5",
    bbox="minicpmv",
    summary="MiniCPM-Llama3-V 2.5.",
    architectures=("MiniCPMV",),
    tells={"query_num": 96},
    modality=("text", "image"),
    modules=Modules(language_model=("llm",), aligner=("resampler",), vision_tower=("vpm",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMV",
    requires=("timm",),
    checkpoints={
        "minicpmv2_5": """
OpenBMB/MiniCPM-Llama3-V-2_5 = openbmb/MiniCPM-Llama3-V-2_5
""",
    },
)
