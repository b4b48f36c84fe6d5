"""LLaVA-OneVision 1.5: an open recipe on Qwen3."""

from swift_core import Family, Modules

card = Family(
    name="llava_onevision1_5",
    summary="LLaVA-OneVision 1.5: an open recipe on Qwen3.",
    architectures=("LLaVAOneVision1_5_ForConditionalGeneration",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    remote_code="its code lies in the checkpoint; transformers has no LLaVAOneVision1_5_ForConditionalGeneration",
    requires=("qwen_vl_utils",),
    checkpoints={
        "llava_onevision1_5": """
lmms-lab/LLaVA-OneVision-1.5-4B-Instruct
lmms-lab/LLaVA-OneVision-1.5-8B-Instruct
lmms-lab/LLaVA-OneVision-1.5-4B-Base
lmms-lab/LLaVA-OneVision-1.5-8B-Base
""",
    },
)
