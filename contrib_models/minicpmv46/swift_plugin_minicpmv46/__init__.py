"""MiniCPM-V 4.6."""

from swift_core import Family, Modules

card = Family(
    name="minicpmv4_6",
    summary="MiniCPM-V 4.6.",
    architectures=("MiniCPMV4_6ForConditionalGeneration",),
    config_types=("minicpmv4_6",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.merger",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "minicpmv4_6": """
OpenBMB/MiniCPM-V-4.6 = openbmb/MiniCPM-V-4.6
""",
    },
)
