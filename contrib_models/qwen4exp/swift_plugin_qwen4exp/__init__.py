"""Qwen3.8-Flash-Next: an experimental architecture with indexed attention."""

from swift_core import Family, Modules

card = Family(
    name="qwen4_exp",
    summary="Qwen3.8-Flash-Next: an experimental architecture with indexed attention.",
    architectures=("Qwen4ExpForConditionalGeneration",),
    config_types=("qwen4_exp",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen3_8": """
Qwen/Qwen3.8-Flash-Next
Qwen/Qwen3.8-Flash-Next-FP8
""",
    },
)
