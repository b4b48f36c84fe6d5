"""Qwen3-VL Embedding: one embedding for text, pictures and videos."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_vl_emb",
    summary="Qwen3-VL Embedding: one embedding for text, pictures and videos.",
    architectures=("Qwen3VLForConditionalGeneration",),
    config_types=("qwen3_vl",),
    named=("embedding",),
    modality=("text", "image", "video"),
    task="embedding",
    modules=Modules(
        language_model=("language_model",),
        aligner=("visual.merger", "visual.deepstack_merger_list"),
        vision_tower=("visual",),
    ),
    checkpoints={
        "qwen3_vl_emb": """
Qwen/Qwen3-VL-Embedding-2B
Qwen/Qwen3-VL-Embedding-8B
""",
    },
)
