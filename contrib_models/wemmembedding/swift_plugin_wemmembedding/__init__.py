"""WeMM Embedding: one embedding for text, pictures and videos, on Qwen3.5."""

from swift_core import Family, Modules

card = Family(
    name="wemm_embedding",
    summary="WeMM Embedding: one embedding for text, pictures and videos, on Qwen3.5.",
    architectures=("WeMMEmbedding", "Qwen3_5ForConditionalGeneration"),
    config_types=("qwen3_5",),
    named=("wemm",),
    modality=("text", "image", "video"),
    task="embedding",
    modules=Modules(language_model=("language_model",), aligner=("visual.merger",), vision_tower=("visual",)),
    remote_code="its pooling lies in the checkpoint; the layers are Qwen3.5's",
    requires=("decord", "qwen_vl_utils>0.0.14"),
    checkpoints={
        "wemm_embedding": """
Tencent-Hunyuan/WeMM-Embedding-2B = tencent/WeMM-Embedding-2B
Tencent-Hunyuan/WeMM-Embedding-4B = tencent/WeMM-Embedding-4B
Tencent-Hunyuan/WeMM-Embedding-9B = tencent/WeMM-Embedding-9B
""",
    },
)
