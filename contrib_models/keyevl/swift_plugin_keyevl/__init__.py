"""Keye-VL 8B: short videos and pictures."""

from swift_core import Family, Modules

card = Family(
    name="keye_vl",
    summary="Keye-VL 8B: short videos and pictures.",
    architectures=("KeyeForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(language_model=("model", "lm_head"), aligner=("mlp_AR",), vision_tower=("visual",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no KeyeForConditionalGeneration",
    requires=("keye_vl_utils",),
    checkpoints={
        "keye_vl": """
Kwai-Keye/Keye-VL-8B-Preview
""",
    },
)
