"""Keye-VL 1.5 8B: slow and fast frames of videos."""

from swift_core import Family, Modules

card = Family(
    name="keye_vl_1_5",
    summary="Keye-VL 1.5 8B: slow and fast frames of videos.",
    architectures=("KeyeVL1_5ForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(language_model=("model", "lm_head"), aligner=("mlp_AR",), vision_tower=("visual",)),
    remote_code="its modeling code lies in the checkpoint; transformers has no KeyeVL1_5ForConditionalGeneration",
    requires=("keye_vl_utils>=1.5.2", "transformers==4.52.4"),
    checkpoints={
        "keye_vl_1_5": """
Kwai-Keye/Keye-VL-1_5-8B
""",
    },
)
