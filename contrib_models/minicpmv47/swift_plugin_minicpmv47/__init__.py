"""MiniCPM-V 4.7, dense and mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="minicpmv4_7",
    summary="MiniCPM-V 4.7, dense and mixture of experts.",
    architectures=("MiniCPMV4_7ForConditionalGeneration",),
    config_types=("minicpmv4_7",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.merger",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "minicpmv4_7": """
OpenBMB/MiniCPM-V-4.7-1B = openbmb/MiniCPM-V-4.7-1B
OpenBMB/MiniCPM-V-4.7-35B-A3B = openbmb/MiniCPM-V-4.7-35B-A3B
""",
    },
)
