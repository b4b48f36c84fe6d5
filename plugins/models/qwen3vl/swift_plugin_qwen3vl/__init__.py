"""Qwen3-VL dense, 2B to 32B."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_vl",
    summary="Qwen3-VL dense, 2B to 32B.",
    architectures=("Qwen3VLForConditionalGeneration",),
    config_types=("qwen3_vl",),
    modality=("text", "image", "video"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger", "model.visual.deepstack_merger_list"),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen3_vl": """
Qwen/Qwen3-VL-2B-Instruct
Qwen/Qwen3-VL-2B-Thinking
Qwen/Qwen3-VL-2B-Instruct-FP8
Qwen/Qwen3-VL-2B-Thinking-FP8
Qwen/Qwen3-VL-4B-Instruct
Qwen/Qwen3-VL-4B-Thinking
Qwen/Qwen3-VL-4B-Instruct-FP8
Qwen/Qwen3-VL-4B-Thinking-FP8
Qwen/Qwen3-VL-8B-Instruct
Qwen/Qwen3-VL-8B-Thinking
Qwen/Qwen3-VL-8B-Instruct-FP8
Qwen/Qwen3-VL-8B-Thinking-FP8
Qwen/Qwen3-VL-32B-Instruct
Qwen/Qwen3-VL-32B-Thinking
Qwen/Qwen3-VL-32B-Instruct-FP8
Qwen/Qwen3-VL-32B-Thinking-FP8
""",
    },
)
