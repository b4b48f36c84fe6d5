"""GME: one embedding for text, pictures and both, on Qwen2-VL."""

from swift_core import Family, Modules

card = Family(
    name="qwen2_gme",
    summary="GME: one embedding for text, pictures and both, on Qwen2-VL.",
    architectures=("Qwen2VLForConditionalGeneration",),
    config_types=("qwen2_vl",),
    named=("gme",),
    modality=("text", "image"),
    task="embedding",
    modules=Modules(language_model=("language_model",), aligner=("visual.merger",), vision_tower=("visual",)),
    checkpoints={
        "qwen2_gme": """
iic/gme-Qwen2-VL-2B-Instruct = Alibaba-NLP/gme-Qwen2-VL-2B-Instruct
iic/gme-Qwen2-VL-7B-Instruct = Alibaba-NLP/gme-Qwen2-VL-7B-Instruct
""",
    },
)
