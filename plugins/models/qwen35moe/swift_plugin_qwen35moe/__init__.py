"""Qwen3.5 and Qwen3.8 mixture of experts: pictures and videos on gated delta networks."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_5_moe",
    summary="Qwen3.5 and Qwen3.8 mixture of experts: pictures and videos on gated delta networks.",
    architectures=("Qwen3_5MoeForConditionalGeneration",),
    config_types=("qwen3_5_moe",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen3_5": """
Qwen/Qwen3.5-35B-A3B-Base
Qwen/Qwen3.5-35B-A3B
Qwen/Qwen3.5-122B-A10B
Qwen/Qwen3.5-397B-A17B
Qwen/Qwen3.5-35B-A3B-FP8
Qwen/Qwen3.5-122B-A10B-FP8
Qwen/Qwen3.5-397B-A17B-FP8
Qwen/Qwen3.6-35B-A3B
Qwen/Qwen3.6-35B-A3B-FP8
""",
        "qwen3_8": """
Qwen/Qwen3.8-2.4T-A95B
Qwen/Qwen3.8-2.4T-A95B-FP8
""",
    },
)
