"""LLaVA-OneVision 2: pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="llava_onevision2",
    summary="LLaVA-OneVision 2: pictures and videos.",
    architectures=("LlavaOnevision2ForConditionalGeneration",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    remote_code="its modeling code lies in the checkpoint; transformers has no LlavaOnevision2ForConditionalGeneration",
    requires=("qwen_vl_utils",),
    checkpoints={
        "llava_onevision2": """
lmms-lab/LLaVA-OneVision-2-8B-Instruct
""",
    },
)
