"""Qwen3.5 and Qwen3.8 dense: pictures and videos on gated delta networks."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_5",
    summary="Qwen3.5 and Qwen3.8 dense: pictures and videos on gated delta networks.",
    architectures=("Qwen3_5ForConditionalGeneration",),
    config_types=("qwen3_5",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger",),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen3_5": """
Qwen/Qwen3.5-4B
Qwen/Qwen3.5-9B
Qwen/Qwen3.5-27B
Qwen/Qwen3.5-27B-FP8
Qwen/Qwen3.5-4B-Base
Qwen/Qwen3.5-9B-Base
Qwen/Qwen3.6-27B
Qwen/Qwen3.6-27B-FP8
""",
        "qwen3_5_small": """
Qwen/Qwen3.5-0.8B
Qwen/Qwen3.5-2B
Qwen/Qwen3.5-0.8B-Base
Qwen/Qwen3.5-2B-Base
""",
        "qwen3_8": """
Qwen/Qwen3.8-27B
Qwen/Qwen3.8-27B-FP8
""",
    },
)
