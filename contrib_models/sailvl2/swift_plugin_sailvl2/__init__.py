"""SAIL-VL2: pictures, with and without thinking."""

from swift_core import Family, Modules

card = Family(
    name="sail_vl2",
    summary="SAIL-VL2: pictures, with and without thinking.",
    architectures=("SAILVLModel",),
    modality=("text", "image"),
    modules=Modules(language_model=("language_model",), aligner=("mlp1",), vision_tower=("vision_model",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no SAILVLModel",
    requires=("transformers<=4.51.3",),
    checkpoints={
        "sail_vl2": """
BytedanceDouyinContent/SAIL-VL2-2B
BytedanceDouyinContent/SAIL-VL2-2B-Thinking
BytedanceDouyinContent/SAIL-VL2-8B
BytedanceDouyinContent/SAIL-VL2-8B-Thinking
""",
    },
)
