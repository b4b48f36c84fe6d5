"""Qwen3-VL mixture of experts."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_vl_moe",
    summary="Qwen3-VL mixture of experts.",
    architectures=("Qwen3VLMoeForConditionalGeneration",),
    config_types=("qwen3_vl_moe",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger", "model.visual.deepstack_merger_list"),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen3_vl": """
Qwen/Qwen3-VL-30B-A3B-Instruct
Qwen/Qwen3-VL-30B-A3B-Thinking
Qwen/Qwen3-VL-30B-A3B-Instruct-FP8
Qwen/Qwen3-VL-30B-A3B-Thinking-FP8
Qwen/Qwen3-VL-235B-A22B-Instruct
Qwen/Qwen3-VL-235B-A22B-Thinking
Qwen/Qwen3-VL-235B-A22B-Instruct-FP8
Qwen/Qwen3-VL-235B-A22B-Thinking-FP8
""",
    },
)
