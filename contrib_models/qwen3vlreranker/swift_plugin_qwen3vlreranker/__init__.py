"""Qwen3-VL Reranker: answers yes or no about relevance."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_vl_reranker",
    summary="Qwen3-VL Reranker: answers yes or no about relevance.",
    architectures=("Qwen3VLForConditionalGeneration",),
    config_types=("qwen3_vl",),
    named=("reranker",),
    modality=("text", "image", "video"),
    task="generative_reranker",
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.visual.merger", "model.visual.deepstack_merger_list"),
        vision_tower=("model.visual",),
    ),
    checkpoints={
        "qwen3_vl_reranker": """
Qwen/Qwen3-VL-Reranker-2B
Qwen/Qwen3-VL-Reranker-8B
""",
    },
)
