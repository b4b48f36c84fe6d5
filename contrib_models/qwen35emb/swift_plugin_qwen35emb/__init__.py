"""UEmbed 2B: one embedding for text, pictures and videos, on Qwen3.5."""

from swift_core import Family, Modules

card = Family(
    name="qwen3_5_emb",
    summary="UEmbed 2B: one embedding for text, pictures and videos, on Qwen3.5.",
    architectures=("Qwen3_5ForConditionalGeneration",),
    config_types=("qwen3_5",),
    named=("uembed",),
    modality=("text", "image", "video"),
    task="embedding",
    modules=Modules(language_model=("language_model",), aligner=("visual.merger",), vision_tower=("visual",)),
    extra_files=("sparse_info.json", "sparse_weights.pt"),
    checkpoints={
        "qwen3_5_emb": """
iic/UEmbed-2B
""",
    },
)
