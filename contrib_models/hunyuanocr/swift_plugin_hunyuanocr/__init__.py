"""HunyuanOCR: documents from end to end in 1B."""

from swift_core import Family, Modules

card = Family(
    name="hunyuan_ocr",
    summary="HunyuanOCR: documents from end to end in 1B.",
    architectures=("HunYuanVLForConditionalGeneration",),
    config_types=("hunyuan_vl",),
    modality=("text", "image"),
    modules=Modules(
        language_model=("model.language_model", "lm_head"),
        aligner=("model.vision_tower.patch_merger",),
        vision_tower=("model.vision_tower",),
    ),
    checkpoints={
        "hunyuan_ocr": """
Tencent-Hunyuan/HunyuanOCR = tencent/HunyuanOCR
""",
    },
)
