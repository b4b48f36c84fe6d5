"""MiniCPM-V 1 and 2."""

from swift_core import Family, Modules

card = Family(
    name="minicpmv",
    summary="MiniCPM-V 1 and 2.",
    architectures=("MiniCPMV",),
    tells={"query_num": 64, "hidden_size": 2304},
    modality=("text", "image"),
    modules=Modules(language_model=("llm",), aligner=("resampler",), vision_tower=("vpm",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no MiniCPMV",
    requires=("timm", "transformers<4.42"),
    checkpoints={
        "minicpmv": """
OpenBMB/MiniCPM-V = openbmb/MiniCPM-V
OpenBMB/MiniCPM-V-2 = openbmb/MiniCPM-V-2
""",
    },
)
